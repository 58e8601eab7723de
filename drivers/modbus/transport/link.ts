import type { DcsError } from '../../../src/errors/errors.ts';

/** A way for bytes to the devices: a TCP connection, a serial line, a UDP socket. */
export interface Link {
  /** Hands bytes over. What cannot be sent ends in `down`; it never throws. */
  send(bytes: Buffer): void;
  /** Serial lines: makes the line ready for this unit (its baud rate and parity). Rejects with PORT_DOWN. */
  prepare?(unit: number): Promise<void>;
  /** Hands over what the kernel has received and nobody has read yet: it is older than anything sent from now on. */
  catchUp?(): void | Promise<void>;
  /** Whether `prepare` would have nothing to do. */
  ready?(unit: number): boolean;
  /** Ends it at once, without `down`. Idempotent. Resolves when the operating system has it back. */
  close(): Promise<void>;
}

/** What a link tells its transport. */
export interface LinkEvents {
  data(bytes: Buffer): void;
  /** It is gone. Called at most once. */
  down(error: DcsError): void;
}
