import type { Clock, DurationMs, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { MatchedFrame } from './frame-receiver.ts';

/** Relation of a frame to a request: no answer, part of the answer, the end of the answer, or a refusal. */
export type FrameMatch = 'foreign' | 'more' | 'done' | DcsError;

export type ReplyMatcher = (frame: MatchedFrame) => FrameMatch;

/** Bytes to send and the answer to wait for. */
export interface SerialRequest {
  readonly bytes: Buffer;
  /** Lane `write` goes before lane `ask`. */
  readonly lane: 'write' | 'ask';
  /** Number of repetitions when no answer comes in time. */
  readonly retries: number;
  /** The request is neither sent nor repeated after this time. */
  readonly expiresAt?: MonotonicMs | undefined;
  /**
   * Creates a matcher of received frames for each time the request is sent. With `late` the answer is no longer waited for,
   * so the matcher must only recognise it. `undefined`: the request is done once the kernel has the bytes.
   */
  readonly createMatcher?: (late: boolean) => ReplyMatcher;
}

/** The line that requests are sent on, and its times. */
export interface RequestQueueLine {
  send(bytes: Buffer): Promise<void>;
  /** Longest time of an answer, from the last byte sent. */
  readonly timeout: DurationMs;
  /** Time the line needs for one byte. */
  readonly byteTime: DurationMs;
  readonly clock: Clock;
  count(name: string, by?: number): void;
}

interface Entry {
  readonly request: SerialRequest;
  resolve(): void;
  reject(error: unknown): void;
}

interface Waiting {
  readonly matcher: ReplyMatcher;
  settle(outcome: DcsError | undefined): void;
}

/** Most bytes that may wait to be sent; more is refused, so that nothing old is ever sent. */
const QUEUE_LIMIT = 65_536;

/**
 * Sends everything that a port sends, one request at a time; nothing is sent while a request waits for its answer. After a
 * timeout nothing is sent until the late answer has come (it is dropped) or the timeout has passed once more: a late
 * answer must not be taken for the answer to the next request.
 */
export class RequestQueue {
  readonly #line: RequestQueueLine;
  readonly #lanes: Readonly<Record<SerialRequest['lane'], Entry[]>> = { write: [], ask: [] };
  #running = false;
  #queued = 0;
  #waiting: Waiting | undefined;
  /** A request whose late answer may still come; `end` stops the wait. */
  #late: { readonly matcher: ReplyMatcher; readonly over: Promise<void>; end(): void } | undefined;
  #ended: DcsError | undefined;

  constructor(line: RequestQueueLine) {
    this.#line = line;
  }

  /** Resolves when the bytes are sent and answered as they should be. */
  async submit(request: SerialRequest): Promise<void> {
    if (this.#ended) throw this.#ended;
    if (this.#queued + request.bytes.length > QUEUE_LIMIT) {
      this.#line.count('sends_refused');
      throw new DcsError('BUSY', `${this.#queued} bytes already wait to be sent`);
    }
    this.#queued += request.bytes.length;
    const done = new Promise<void>((resolve, reject) => this.#lanes[request.lane].push({ request, resolve, reject }));
    void this.#run();
    return done;
  }

  /** Matches a frame with the request under way. Returns whether the frame is its answer, or a late answer. */
  handleFrame(frame: MatchedFrame): boolean {
    const waiting = this.#waiting;
    if (waiting) {
      const answer = waiting.matcher(frame);
      if (answer === 'foreign') return false;
      if (answer === 'more') return true;
      // Clear it at once: the next frame may be at hand already, and is no answer to this request.
      this.#waiting = undefined;
      waiting.settle(answer === 'done' ? undefined : answer);
      return true;
    }
    const late = this.#late;
    const answer = late?.matcher(frame) ?? 'foreign';
    if (answer === 'foreign') return false;
    this.#line.count('late_answers');
    if (answer !== 'more') late?.end();
    return true;
  }

  /** Rejects everything that waits; nothing is sent afterwards. */
  end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#waiting?.settle(error);
    this.#late?.end();
    for (const lane of Object.values(this.#lanes)) for (const { reject } of lane.splice(0)) reject(error);
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let entry = this.#next(); entry; entry = this.#next()) {
      try {
        await this.#execute(entry.request);
        entry.resolve();
      } catch (error) {
        entry.reject(error);
      } finally {
        this.#queued -= entry.request.bytes.length;
      }
    }
    this.#running = false;
  }

  #next(): Entry | undefined {
    return this.#lanes.write.shift() ?? this.#lanes.ask.shift();
  }

  async #execute(request: SerialRequest): Promise<void> {
    for (let again = 0; ; again++) {
      await this.#late?.over;
      const problem = this.#obstacle(request, again);
      if (problem) throw problem;
      const outcome = await this.#attempt(request);
      if (outcome === undefined) return;
      if (outcome !== 'silence') throw outcome;
      this.#line.count('timeouts');
      if (again >= request.retries || this.#expired(request)) throw this.#noAnswerError(request, again + 1);
      this.#line.count('retries');
    }
  }

  /** The reason not to send a request that has been sent `before` times. */
  #obstacle(request: SerialRequest, before: number): DcsError | undefined {
    if (this.#ended) return before === 0 ? this.#ended : lossError(request, this.#ended);
    if (!this.#expired(request)) return undefined;
    if (before > 0) return this.#noAnswerError(request, before);
    return new DcsError('EXPIRED', `${printable(request.bytes)} waited too long for its turn`);
  }

  #noAnswerError({ bytes }: SerialRequest, requests: number): DcsError {
    return new DcsError('TIMEOUT', `no answer to ${printable(bytes)} within ${this.#line.timeout} ms`, {
      expected: requests > 1 ? `an answer to one of ${requests} requests` : 'an answer',
    });
  }

  #expired({ expiresAt }: SerialRequest): boolean {
    return expiresAt !== undefined && this.#line.clock.now() > expiresAt;
  }

  /** Sends the request once. `undefined`: answered as it should be; an error: refused. */
  async #attempt(request: SerialRequest): Promise<DcsError | 'silence' | undefined> {
    const { createMatcher } = request;
    if (!createMatcher) {
      await this.#send(request);
      return undefined;
    }
    let timer: Timer | undefined;
    const answered = new Promise<DcsError | 'silence' | undefined>((resolve) => {
      const settle = (outcome: DcsError | undefined) =>
        resolve(outcome && outcome === this.#ended ? lossError(request, outcome) : outcome);
      this.#waiting = { matcher: createMatcher(false), settle };
    });
    try {
      await this.#send(request);
      const silent = new Promise<'silence'>((resolve) => {
        const wait = this.#line.timeout + request.bytes.length * this.#line.byteTime;
        timer = this.#line.clock.after(wait, () => resolve('silence'));
      });
      const outcome = await Promise.race([answered, silent]);
      if (outcome === 'silence') this.#quarantine(createMatcher(true));
      return outcome;
    } finally {
      timer?.cancel();
      this.#waiting = undefined;
    }
  }

  async #send({ bytes, lane }: SerialRequest): Promise<void> {
    try {
      await this.#line.send(bytes);
    } catch (error) {
      // A question does nothing, so how much of it was sent does not matter.
      throw lane === 'ask' ? (this.#ended ?? error) : error;
    }
  }

  /** Waits for the late answer, at most for the timeout. */
  #quarantine(matcher: ReplyMatcher): void {
    let end = () => {};
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const timer = this.#line.clock.after(this.#line.timeout, () => late.end());
    const late = {
      matcher,
      over,
      end: () => {
        timer.cancel();
        if (this.#late === late) this.#late = undefined;
        end();
      },
    };
    this.#late = late;
  }
}

/** The error of a request whose line was lost after it was sent: a command may have taken effect, a question has none. */
function lossError({ bytes, lane }: SerialRequest, cause: DcsError): DcsError {
  if (lane === 'ask') return cause;
  const message = `${printable(bytes)} was sent; whether it took effect is unknown: ${cause.message}`;
  return new DcsError('TIMEOUT', message, { cause });
}

function printable(bytes: Buffer): string {
  const text = JSON.stringify(bytes.subarray(0, 40).toString('latin1'));
  return bytes.length > 40 ? `${text}…` : text;
}
