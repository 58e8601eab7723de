import type { Clock, DurationMs, MonotonicMs, Timer } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import type { Framing, Tolerates } from '../protocol/framing.ts';
import { describeRequest, isWrite, type Request } from '../protocol/request.ts';
import { ConnectionClosedError, connectionLostError, UnmatchedReplyError } from './transport.ts';

/** Longest pause between the pieces in which operating system and USB adapter deliver a reply. */
const SLACK_MS = 50;
/** A reply has at most 256 bytes, or 513 characters in ASCII; the rest is for an echo and for noise. */
const MAX_RECEIVED = 2048;

export type TransactionResult =
  /** `doubtful`: the true reply may still come, so the unit must not be asked until then. */
  | { readonly kind: 'data'; readonly data: Buffer; readonly doubtful: false }
  | { readonly kind: 'exception'; readonly exception: number; readonly doubtful: false }
  | { readonly kind: 'error'; readonly error: DcsError; readonly doubtful: boolean };

export interface LineTransactionOptions {
  readonly request: Request;
  readonly clock: Clock;
  readonly framing: Framing;
  readonly tolerates: Tolerates;
  readonly echo: EchoFilter;
  readonly lateReplies: LateReplies;
  count(name: string, by?: number): void;
  /** Time from now within which the first byte of the reply must arrive. */
  readonly firstByteMs: DurationMs;
  /** Time of the longest proper reply on the wire. */
  readonly replyMs: DurationMs;
  /** Silence that ends a damaged reply. */
  readonly quietMs: DurationMs;
  end(outcome: TransactionResult): void;
}

/** One request on a half-duplex bus, from sending to its reply or its deadline. */
export class LineTransaction {
  readonly #options: LineTransactionOptions;
  #received: Buffer = Buffer.alloc(0);
  #deadline: Timer;
  #silenceTimer: Timer | undefined;
  #replyStarted = false;
  #headerSeen = false;
  /** The line has been silent since the last byte. */
  #silent = false;
  #mismatch: string | undefined;
  #done = false;

  constructor(settings: LineTransactionOptions) {
    this.#options = settings;
    this.#deadline = settings.clock.after(settings.firstByteMs, () => {
      if (!this.#replyStarted) return this.#expire();
      // The reply has begun in time; it may take the time of its bytes.
      this.#deadline = settings.clock.after(settings.replyMs + SLACK_MS, () => this.#expire());
    });
  }

  receive(bytes: Buffer): void {
    if (this.#done) return;
    this.#silenceTimer?.cancel();
    this.#received = Buffer.concat([this.#received, bytes]);
    if (this.#received.length > MAX_RECEIVED) {
      this.#options.count('bytes_dropped', this.#received.length - MAX_RECEIVED);
      this.#received = this.#received.subarray(-MAX_RECEIVED);
    }
    while (this.#scanReceived());
  }

  /** Ends the transaction because its connection has ended. Over the next one the reply may still come from a device server. */
  abort(error: DcsError): void {
    const doubtful = error instanceof ConnectionClosedError;
    this.#finish({ kind: 'error', error: connectionLostError(this.#options.request, error), doubtful });
  }

  /** Scans for a frame. Returns whether one was removed, so that another may follow it. */
  #scanReceived(): boolean {
    const { request, framing, tolerates, echo, lateReplies, clock, count } = this.#options;
    const received = echo.strip(this.#received, isWrite(request));
    if (received === undefined) return false;
    const scan = framing.scan(received, [request, ...lateReplies.distinguishableFrom(request)], tolerates);
    if (scan.kind === 'nothing') return false;
    if (scan.kind === 'partial') {
      if (scan.request !== request) return false;
      this.#replyStarted = true;
      this.#headerSeen ||= scan.sure;
      if (scan.complete) this.#silenceTimer = clock.after(this.#options.quietMs, () => this.#endDamaged());
      return false;
    }
    if (request.kind === 'raw' && scan.request === request && !this.#silent) {
      // The length of this reply is unknown: silence ends it.
      this.#replyStarted = true;
      this.#silenceTimer = clock.after(this.#options.quietMs, () => {
        this.#silent = true;
        this.#scanReceived();
      });
      return false;
    }
    if (scan.from > 0) count('resyncs');
    if (scan.request !== request) {
      count('replies_late');
      lateReplies.noteArrival(scan.request, clock.now());
    } else if (scan.match.kind === 'mismatch') {
      count('replies_mismatched');
      this.#mismatch = scan.match.why;
      this.#replyStarted = false;
    } else {
      if (scan.match.kind === 'exception') count(`exception_${scan.match.exception}`);
      this.#finish({ ...scan.match, doubtful: false });
      return false;
    }
    // Bytes before the frame are removed too: they were noise.
    this.#received = Buffer.from(received.subarray(scan.to));
    echo.echoConsumed();
    return this.#received.length > 0;
  }

  #endDamaged(): void {
    this.#options.count('crc_errors');
    this.#fail('BAD_REPLY', 'the reply arrived damaged', !this.#headerSeen);
  }

  #expire(): void {
    const { count } = this.#options;
    if (this.#replyStarted) {
      count('replies_cut_short');
      this.#fail('BAD_REPLY', 'the reply was cut short', !this.#headerSeen);
    } else if (this.#mismatch !== undefined) {
      this.#fail('BAD_REPLY', `the only reply has ${this.#mismatch}`, true);
    } else {
      count('timeouts');
      this.#finish({ kind: 'error', error: this.#noAnswerError(), doubtful: true });
    }
  }

  #noAnswerError(): DcsError {
    const { request, framing, echo } = this.#options;
    const what = `${describeRequest(request)}: no answer in time`;
    if (this.#received.length === 0) return new DcsError('TIMEOUT', what);
    const received = echo.strip(this.#received, isWrite(request)) ?? this.#received;
    const found = framing.scan(received, [request], () => ({ anyUnit: true }));
    if (found.kind !== 'frame' || found.unit === request.unit)
      return new DcsError('TIMEOUT', `${what} (${this.#received.length} bytes that are no reply)`);
    const named = `a reply names unit ${found.unit} in place of ${request.unit}`;
    return new UnmatchedReplyError(`${what}; ${named}: quirks: { unit_id: any } accepts that`);
  }

  #fail(code: 'BAD_REPLY' | 'TIMEOUT', what: string, doubtful: boolean): void {
    const error = new DcsError(code, `${describeRequest(this.#options.request)}: ${what}`);
    this.#finish({ kind: 'error', error, doubtful });
  }

  #finish(outcome: TransactionResult): void {
    if (this.#done) return;
    this.#done = true;
    this.#deadline.cancel();
    this.#silenceTimer?.cancel();
    this.#options.end(outcome);
  }
}

/** Whether an adapter receives what it sends itself (two-wire RS-485 with the receiver left on). */
export type EchoMode = 'off' | 'strip' | 'auto';

/**
 * Removes the echo of our own request from received bytes. An echo of a write looks exactly like the device's reply, so
 * with `auto` nothing may be written before a read has shown whether there is an echo.
 */
export class EchoFilter {
  #present: boolean | undefined;
  #sent: Buffer | undefined;
  #echoSeen = false;

  constructor(mode: EchoMode) {
    this.#present = mode === 'auto' ? undefined : mode === 'strip';
  }

  /** Whether there is an echo; `undefined` while that is unknown. */
  get present(): boolean | undefined {
    return this.#present;
  }

  /** A frame is being sent. */
  noteSent(frame: Buffer): void {
    this.#sent = frame;
    this.#echoSeen = false;
  }

  /**
   * Returns the bytes received after the echo. `undefined` while the echo is still to come: no earlier byte can be the
   * reply. For a read earlier bytes are returned too, because only a complete echo can look like its reply.
   */
  strip(received: Buffer, write: boolean): Buffer | undefined {
    const sent = this.#sent;
    if (!sent || this.#present === false) return received;
    const at = received.indexOf(sent);
    if (at >= 0) {
      this.#present = true;
      this.#echoSeen = true;
      return received.subarray(at + sent.length);
    }
    return write ? undefined : received;
  }

  /** The echo has been removed: bytes that look like it from now on are something else. */
  echoConsumed(): void {
    if (this.#echoSeen) this.#sent = undefined;
  }

  /** A read has ended. Without an echo by then, there is none. */
  readEnded(): void {
    this.#present ??= false;
  }
}

/** Quarantine after a timeout, in timeouts; it grows with the longest lateness seen. */
const MIN_TIMEOUTS = 3;
const MAX_TIMEOUTS = 10;

interface Entry {
  readonly request: Request;
  readonly expiredAt: MonotonicMs;
  readonly until: MonotonicMs;
}

/**
 * Requests of a serial bus that timed out, at most one a unit. RTU frames carry no number. While such a reply may still
 * come, the unit must not be asked, because the late reply would be taken for the new one.
 */
export class LateReplies {
  readonly #entries = new Map<number, Entry>();
  #longestLateMs: DurationMs = 0;

  add(request: Request, now: MonotonicMs, timeoutMs: DurationMs): void {
    const quarantine = Math.max(
      MIN_TIMEOUTS * timeoutMs,
      Math.min(1.5 * this.#longestLateMs, MAX_TIMEOUTS * timeoutMs),
    );
    this.#entries.set(request.unit, { request, expiredAt: now, until: now + quarantine });
  }

  /** When the unit may be asked again. A late reply of a unit with `anyUnit`, or while one is asked, could be any unit's. */
  freeAt(unit: number, anyUnit: (unit: number) => boolean = () => false): MonotonicMs {
    let free = 0;
    for (const [late, { until }] of this.#entries)
      if (late === unit || anyUnit(unit) || anyUnit(late)) free = Math.max(free, until);
    return free;
  }

  /** Requests whose late reply differs from the reply to `pending`, because it comes from another unit. */
  distinguishableFrom(pending: Request | undefined): Request[] {
    return [...this.#entries.values()].map(({ request }) => request).filter(({ unit }) => unit !== pending?.unit);
  }

  /** The late reply has arrived. */
  noteArrival(request: Request, now: MonotonicMs): void {
    const entry = this.#entries.get(request.unit);
    if (!entry) return;
    this.#longestLateMs = Math.max(this.#longestLateMs, now - entry.expiredAt);
    this.#entries.delete(request.unit);
  }
}
