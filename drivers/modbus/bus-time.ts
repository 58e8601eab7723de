import type { DurationMs } from '../../src/clock/clock.ts';
import { isBitTable, type Span } from './protocol/request.ts';
import type { PlanLimits } from './schedule/plan.ts';
import { standardLimits } from './schedule/plan.ts';
import type { LineTiming } from './transport/line-timing.ts';

/** Request of a read and of its reply without data: unit, function, address, count, CRC; unit, function, count, CRC. */
const READ_OVERHEAD = 13;

/**
 * The least time one read takes on a serial line: its characters, the silence of 3.5 characters before request and
 * reply, and what the device needs to think.
 */
export function readTime(span: Span, line: LineTiming, slaveMs: DurationMs): DurationMs {
  const data = isBitTable(span.table) ? Math.ceil(span.count / 8) : 2 * span.count;
  return (READ_OVERHEAD + data) * line.characterMs + 2 * line.gapMs + slaveMs;
}

/** How many registers may be read in vain before a second request would have been cheaper. */
export function breakEvenGap(line: LineTiming, slaveMs: DurationMs): number {
  return Math.floor((READ_OVERHEAD * line.characterMs + 2 * line.gapMs + slaveMs) / (2 * line.characterMs));
}

/** Slave time that a plan reckons with when nothing is known about the device. */
export const USUAL_SLAVE_MS = 5;
/** Over a network a round trip costs far more than the bytes of some dozens of registers. */
const NETWORK_GAP = 50;

/** What is worth reading along: the user's word, or the break-even of the line. */
export function planLimits(
  maxGap: number | undefined,
  line: LineTiming | undefined,
  slaveMs: DurationMs = USUAL_SLAVE_MS,
): PlanLimits {
  return standardLimits(maxGap ?? (line ? Math.min(124, breakEvenGap(line, slaveMs)) : NETWORK_GAP));
}
