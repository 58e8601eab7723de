import type { DurationMs } from '../../../src/clock/clock.ts';
import type { LineSettings } from '../../../src/driver/parse.ts';

/** Above 19200 baud the standard fixes the silence between frames (Modbus over serial line 1.02, 2.5.1.1). */
const FIXED_GAP_BAUD = 19200;
const FIXED_GAP_MS = 1.75;

/** What a serial line's settings mean in time. */
export interface LineTiming {
  /** One character: start bit, data, parity, stop bits. */
  readonly characterMs: DurationMs;
  /** The silence that ends a frame. */
  readonly gapMs: DurationMs;
}

export function lineTiming(line: LineSettings): LineTiming {
  const bits = 1 + line.dataBits + (line.parity === 'none' ? 0 : 1) + line.stopBits;
  const characterMs = (1000 * bits) / line.baud;
  return { characterMs, gapMs: line.baud > FIXED_GAP_BAUD ? FIXED_GAP_MS : 3.5 * characterMs };
}

/** A stream without a baud rate: RTU or ASCII over TCP. */
export const noTiming: LineTiming = { characterMs: 0, gapMs: 0 };
