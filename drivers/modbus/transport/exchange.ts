import type { Clock, DurationMs, Timer } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import type { Framing } from '../protocol/framing.ts';
import { describeRequest, isWrite, type Request } from '../protocol/request.ts';
import type { EchoFilter } from './echo.ts';
import { lostUnderWay } from './lost.ts';
import type { Unanswered } from './unanswered.ts';

/** Operating system and USB adapter deliver a reply in pieces this far apart at most. */
const SLACK_MS = 50;
/** No reply is longer than 256 bytes, or 513 characters in ASCII; the rest leaves room for an echo and for noise. */
const MAX_RECEIVED = 2048;

export type Outcome =
  /** `doubtful`: the true reply may still come, the unit must be left alone until then. */
  | { readonly kind: 'data'; readonly data: Buffer; readonly doubtful: false }
  | { readonly kind: 'exception'; readonly exception: number; readonly doubtful: false }
  | { readonly kind: 'error'; readonly error: DcsError; readonly doubtful: boolean };

export interface ExchangeSettings {
  readonly request: Request;
  readonly clock: Clock;
  readonly framing: Framing;
  readonly echo: EchoFilter;
  readonly unanswered: Unanswered;
  count(name: string, by?: number): void;
  /** From now until the first byte of the reply must have come. */
  readonly firstByteMs: DurationMs;
  /** What the longest proper reply takes on the wire. */
  readonly replyMs: DurationMs;
  /** Silence after which a damaged reply is over. */
  readonly quietMs: DurationMs;
  end(outcome: Outcome): void;
}

/** One request on a half-duplex bus, from its sending to its reply or its deadline. */
export class Exchange {
  readonly #settings: ExchangeSettings;
  #received: Buffer = Buffer.alloc(0);
  #deadline: Timer;
  #quiet: Timer | undefined;
  #begun = false;
  #sure = false;
  /** Nothing has come for a while. */
  #silent = false;
  #mismatch: string | undefined;
  #over = false;

  constructor(settings: ExchangeSettings) {
    this.#settings = settings;
    this.#deadline = settings.clock.after(settings.firstByteMs, () => {
      if (!this.#begun) return this.#expire();
      // The reply has begun in time; it may take as long as its bytes do.
      this.#deadline = settings.clock.after(settings.replyMs + SLACK_MS, () => this.#expire());
    });
  }

  receive(bytes: Buffer): void {
    if (this.#over) return;
    this.#quiet?.cancel();
    this.#received = Buffer.concat([this.#received, bytes]);
    if (this.#received.length > MAX_RECEIVED) {
      this.#settings.count('bytes_dropped', this.#received.length - MAX_RECEIVED);
      this.#received = this.#received.subarray(-MAX_RECEIVED);
    }
    while (this.#look());
  }

  /** The bus is gone. */
  abort(error: DcsError): void {
    this.#finish({ kind: 'error', error: lostUnderWay(this.#settings.request, error), doubtful: false });
  }

  /** Looks for a frame. Returns whether one was taken out, so that there may be another behind it. */
  #look(): boolean {
    const { request, framing, echo, unanswered, clock, count } = this.#settings;
    const heard = echo.strip(this.#received, isWrite(request));
    if (heard === undefined) return false;
    const scan = framing.scan(heard, [request, ...unanswered.recognisable(request)]);
    if (scan.kind === 'nothing') return false;
    if (scan.kind === 'begun') {
      if (scan.request !== request) return false;
      this.#begun = true;
      this.#sure ||= scan.sure;
      if (scan.complete) this.#quiet = clock.after(this.#settings.quietMs, () => this.#damaged());
      return false;
    }
    if (request.kind === 'raw' && scan.request === request && !this.#silent) {
      // Nobody knows how long this reply is: it ends with silence.
      this.#begun = true;
      this.#quiet = clock.after(this.#settings.quietMs, () => {
        this.#silent = true;
        this.#look();
      });
      return false;
    }
    if (scan.from > 0) count('resyncs');
    if (scan.request !== request) {
      count('replies_late');
      unanswered.seen(scan.request, clock.now());
    } else if (scan.match.kind === 'mismatch') {
      count('replies_mismatched');
      this.#mismatch = scan.match.why;
      this.#begun = false;
    } else {
      if (scan.match.kind === 'exception') count(`exception_${scan.match.exception}`);
      this.#finish({ ...scan.match, doubtful: false });
      return false;
    }
    // Also what came before the frame: it was stepped over as noise.
    this.#received = Buffer.from(heard.subarray(scan.to));
    echo.passed();
    return this.#received.length > 0;
  }

  #damaged(): void {
    this.#settings.count('crc_errors');
    this.#fail('BAD_REPLY', 'the reply arrived damaged', !this.#sure);
  }

  #expire(): void {
    const { count } = this.#settings;
    if (this.#begun) {
      count('replies_cut_short');
      this.#fail('BAD_REPLY', 'the reply was cut short', !this.#sure);
    } else if (this.#mismatch !== undefined) {
      this.#fail('BAD_REPLY', `the only reply has ${this.#mismatch}`, true);
    } else {
      count('timeouts');
      const noise = this.#received.length > 0 ? ` (${this.#received.length} bytes that are no reply)` : '';
      this.#fail('TIMEOUT', `no answer in time${noise}`, true);
    }
  }

  #fail(code: 'BAD_REPLY' | 'TIMEOUT', what: string, doubtful: boolean): void {
    const error = new DcsError(code, `${describeRequest(this.#settings.request)}: ${what}`);
    this.#finish({ kind: 'error', error, doubtful });
  }

  #finish(outcome: Outcome): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadline.cancel();
    this.#quiet?.cancel();
    this.#settings.end(outcome);
  }
}
