import { expect, it } from 'vitest';
import type { GpioChannel } from '../../drivers/gpio/backend.ts';
import { realtime } from '../../drivers/gpio/edges.ts';
import type { LocatedLine } from '../../drivers/gpio/line-plan.ts';
import { LineRequest } from '../../drivers/gpio/line-request.ts';
import * as uapi from '../../drivers/gpio/uapi.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { memoryLog } from '../support/ports.ts';

function output(offset: number): LocatedLine {
  const address = { gpio: offset };
  const channel: GpioChannel = { key: `line ${offset}`, kind: 'digital', direction: 'out', address, debounceMs: 0 };
  return { spec: { channel, edges: 'both', timed: false, events: { level() {}, lost() {} } }, offset, index: offset };
}

it('a level that the kernel refused is not driven later, when another line becomes an input', () => {
  const configured: Buffer[] = [];
  const libc: uapi.LineLibc = {
    ioctl(_fd, request, argument) {
      if (request === uapi.SET_VALUES) throw new Error('EIO');
      if (request === uapi.SET_CONFIG) configured.push(Buffer.from(argument));
    },
    pipe: () => ({ reader: -1, writer: -1 }),
    replace() {},
    setNonBlocking() {},
  };
  const clock = new ManualClock();
  const context = { clock, log: memoryLog(), down() {}, count() {}, changed() {} };
  const settings = { flags: uapi.flags.output, debounceUs: 0, keepLevel: false, bothEdges: true, timed: false };
  const plan = { lines: [output(0), output(1)], direction: 'out', ...settings } as const;
  const request = new LineRequest({ libc, fd: -1, path: 'test', time: realtime }, plan, context, () => {});
  request.setDriven(0n);
  const [relay, other] = request.lines;
  if (!relay || !other) throw new Error('no lines');
  expect(() => request.write(new Map([[relay, true]]))).toThrow(/EIO/);
  other.float();
  const except = { flags: uapi.inputFlags(settings.flags), mask: 0b10n };
  expect(configured).toEqual([uapi.lineConfig(2, { flags: settings.flags, values: 0n, except })]);
});
