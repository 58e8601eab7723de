import type { DurationMs } from '../../../src/clock/clock.ts';
import type { DcsError } from '../../../src/errors/errors.ts';

/** Modem control lines the computer drives; `break` holds the data line at space. */
export const drivenLines = ['dtr', 'rts', 'break'] as const;
export type DrivenLine = (typeof drivenLines)[number];

/** Modem control lines the device drives. */
export const sensedLines = ['cts', 'dsr', 'dcd', 'ri'] as const;
export type SensedLine = (typeof sensedLines)[number];

/** What a transport tells its port. Nothing is told after `lost` or `close`. */
export interface TransportEvents {
  /** Bytes came in. The buffer's content stays. */
  data(bytes: Buffer): void;
  /** A byte came in with a parity or framing error, or a break did: the frame it is in cannot be trusted. */
  damaged(byte: Buffer): void;
  /** The line is gone: unplugged, hung up. Once. */
  lost(error: DcsError): void;
}

/** The way bytes take to a device: a tty, a TCP connection, a serial port behind one (RFC 2217). */
export interface Transport {
  /**
   * Hands all bytes over; resolves once the kernel has them. Calls must not overlap. Rejects with PORT_DOWN when the
   * line is or goes down, with TIMEOUT when bytes are held off (flow control) for longer than `limit`: what has not
   * been taken by then is thrown away, so that it cannot arrive late.
   */
  send(bytes: Uint8Array, limit: DurationMs): Promise<void>;
  /** Gives the line back. Idempotent, bounded, never rejects. A `send` under way rejects. */
  close(): Promise<void>;
  /** Absent: it has no modem control lines. */
  readonly control?: ModemControl;
}

export interface ModemControl {
  /** Throws PORT_DOWN or NOT_SUPPORTED (a line this hardware does not have). */
  drive(line: DrivenLine, on: boolean): void;
  /** Throws PORT_DOWN or NOT_SUPPORTED. */
  sense(): Readonly<Record<SensedLine, boolean>>;
}
