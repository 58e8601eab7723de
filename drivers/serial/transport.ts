import type { DurationMs } from '../../src/clock/clock.ts';
import type { DcsError } from '../../src/errors/errors.ts';

/** What a transport tells its port. Nothing is told after `lost` or `close`. */
export interface TransportEvents {
  /** Bytes came in. The buffer's content stays. */
  data(bytes: Buffer): void;
  /** The line is gone: unplugged, hung up. Once. */
  lost(error: DcsError): void;
}

/** The way bytes take to a device: a tty today. */
export interface Transport {
  /**
   * Hands all bytes over; resolves once the kernel has them. Calls must not overlap. Rejects with PORT_DOWN when the
   * line is or goes down, with TIMEOUT when the device holds bytes off (flow control) for longer than `limit`: what it
   * has not taken by then is thrown away, so that it cannot arrive late.
   */
  send(bytes: Uint8Array, limit: DurationMs): Promise<void>;
  /** Gives the line back. Idempotent, never rejects. A `send` under way rejects. */
  close(): Promise<void>;
}
