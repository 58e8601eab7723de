import type { Remark } from '../../src/driver/contract.ts';
import type { GpioChannel } from './backend.ts';
import { conflictOn, linesOf } from './endpoints.ts';

/** Pins that want one line in different ways: the later one could never work. */
export function reviewLines(channels: readonly GpioChannel[]): Remark[] {
  const held = new Map<string, { line: GpioChannel; by: GpioChannel }>();
  const remarks: Remark[] = [];
  for (const channel of channels) {
    for (const line of linesOf(channel)) {
      const first = held.get(line.key);
      const conflict = conflictOn(first?.line, line);
      if (!first) held.set(line.key, { line, by: channel });
      else if (conflict) {
        const { message, expected } = conflict;
        remarks.push({
          channel: channel.key,
          other: first.by.key,
          message,
          ...(expected && { expected }),
          fatal: true,
        });
      }
    }
  }
  return remarks;
}
