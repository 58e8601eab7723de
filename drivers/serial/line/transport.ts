import type { DurationMs } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';

/** Modem control lines the computer drives; `break` holds the data line at space. */
export const drivenLines = ['dtr', 'rts', 'break'] as const;
export type DrivenLine = (typeof drivenLines)[number];

/** Modem control lines the device drives. */
export const sensedLines = ['cts', 'dsr', 'dcd', 'ri'] as const;
export type SensedLine = (typeof sensedLines)[number];

/** Events of a transport. None follows `lost` or `close`. */
export interface TransportEvents {
  /** Bytes arrived. The content of the buffer does not change afterwards. */
  data(bytes: Buffer): void;
  /** A byte arrived with a parity or framing error, or a break: its frame is damaged. */
  damaged(byte: Buffer): void;
  /** The connection was closed and is made anew: the rest of a frame that has begun does not come. */
  interrupted?(): void;
  /** The new connection is made. */
  resumed?(): void;
  /** The line is lost: unplugged or hung up. Called once. */
  lost(error: DcsError): void;
}

/** The connection to a device: a tty, a TCP connection, or a serial port behind one (RFC 2217). */
export interface Transport {
  /**
   * Sends all bytes; resolves once the kernel has them. Calls must not overlap. Rejects with PORT_DOWN when the line is
   * lost and nothing was sent, and with TIMEOUT when it is lost after some bytes, or when flow control holds bytes off for
   * longer than `limit`. The remaining bytes are then dropped, so that they cannot arrive late.
   */
  send(bytes: Uint8Array, limit: DurationMs): Promise<void>;
  /** Closes the line. Idempotent, bounded, never rejects. A `send` under way rejects. */
  close(): Promise<void>;
  /** `undefined` without modem control lines. */
  readonly control?: ModemControl;
}

/** The error of a `send` that the loss of the line ends after `sent` bytes. */
export function cutShort(cause: DcsError, sent: number, length: number): DcsError {
  const message = `${sent} of ${length} bytes may have been sent; whether they took effect is unknown: ${cause.message}`;
  return new DcsError('TIMEOUT', message, { cause });
}

export interface ModemControl {
  /** Throws PORT_DOWN or NOT_SUPPORTED (the hardware lacks the line). */
  drive(line: DrivenLine, on: boolean): void;
  /** Throws PORT_DOWN or NOT_SUPPORTED. */
  sense(): Readonly<Record<SensedLine, boolean>>;
}
