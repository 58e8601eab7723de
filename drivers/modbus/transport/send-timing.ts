import type { Clock, DurationMs, MonotonicMs, Timer } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { isWrite, type Request } from '../protocol/request.ts';
import { afterExactly } from './line-timing.ts';
import { expiredError, type TransportLink } from './transport.ts';

export interface SendNeeds {
  /** Silence on the link before the request. */
  readonly silenceMs: DurationMs;
  readonly expiresAt: MonotonicMs;
  /** Bytes that arrived before the request could be taken for its reply. */
  readonly exposed: boolean;
}

/** Knows when a link may carry the next request: once it is connected, set up, and has been silent for long enough. */
export class SendTiming {
  readonly #clock: Clock;
  readonly #delays = new Set<{ readonly timer: Timer; end(error?: DcsError): void }>();
  #silentSince: MonotonicMs = 0;
  #ended: DcsError | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The link is or was busy until this time. */
  noteActivity(until: MonotonicMs = this.#clock.now()): void {
    this.#silentSince = Math.max(this.#silentSince, until);
  }

  /** Returns whether a request may be sent at once. */
  mayBeSent(link: TransportLink, request: Request, { silenceMs, expiresAt, exposed }: SendNeeds): boolean {
    if (this.#ended || exposed || isWrite(request) || !(link.ready?.(request.unit) ?? true)) return false;
    const now = this.#clock.now();
    return now < expiresAt && this.#silentSince + silenceMs <= now;
  }

  /** Resolves when the request may be sent, in the same turn. Rejects with EXPIRED, or with PORT_DOWN when the link is down. */
  async wait(link: TransportLink, request: Request, { silenceMs, expiresAt, exposed }: SendNeeds): Promise<void> {
    const { unit } = request;
    for (;;) {
      this.#requireOpen();
      await link.prepare?.(unit, { fresh: exposed || isWrite(request), expiresAt });
      if (exposed) await link.catchUp?.();
      this.#requireOpen();
      const now = this.#clock.now();
      if (now >= expiresAt) throw expiredError(request);
      // The connection may have ended while bytes were awaited.
      if (!(link.ready?.(unit) ?? true)) continue;
      const left = this.#silentSince + silenceMs - now;
      if (left <= 0) return;
      await this.delay(left);
    }
  }

  /** Rejects when the link goes down meanwhile. */
  delay(length: DurationMs): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      const end = (error?: DcsError) => {
        delay.timer.cancel();
        this.#delays.delete(delay);
        if (error) reject(error);
        else resolve();
      };
      const delay = { timer: afterExactly(this.#clock, length, () => end()), end };
      this.#delays.add(delay);
    });
  }

  /** The link is down or closed: rejects what waits. */
  end(error: DcsError): void {
    this.#ended = error;
    for (const { end } of this.#delays) end(error);
  }

  #requireOpen(): void {
    if (this.#ended) throw new DcsError('PORT_DOWN', 'the port is closed');
  }
}
