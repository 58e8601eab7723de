/** Whether an adapter hears its own sending (two-wire RS-485 with the receiver left on). */
export type EchoMode = 'off' | 'strip' | 'auto';

/**
 * Takes our own request out of what is received. An echo of a write looks exactly like the device's consent, so with
 * `auto` nothing may be written before a read has shown whether there is one.
 */
export class EchoFilter {
  #present: boolean | undefined;
  #sent: Buffer | undefined;
  #heard = false;

  constructor(mode: EchoMode) {
    this.#present = mode === 'auto' ? undefined : mode === 'strip';
  }

  /** Whether there is an echo; undefined while that is not settled. */
  get present(): boolean | undefined {
    return this.#present;
  }

  /** Something is being sent. */
  sending(frame: Buffer): void {
    this.#sent = frame;
    this.#heard = false;
  }

  /**
   * What has been received after our own echo. Undefined: the echo is still to come, and nothing before it may be
   * taken for an answer. To a read it may: only an echo that is whole can look like one.
   */
  strip(received: Buffer, write: boolean): Buffer | undefined {
    const sent = this.#sent;
    if (!sent || this.#present === false) return received;
    const at = received.indexOf(sent);
    if (at >= 0) {
      this.#present = true;
      this.#heard = true;
      return received.subarray(at + sent.length);
    }
    return write ? undefined : received;
  }

  /** The echo of what was sent is behind us: what looks like it from now on is something else. */
  passed(): void {
    if (this.#heard) this.#sent = undefined;
  }

  /** A read has come to its end. If no echo has been heard by then, there is none. */
  settled(): void {
    this.#present ??= false;
  }
}
