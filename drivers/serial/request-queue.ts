import type { Clock, DurationMs, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { MatchedFrame } from './frame-receiver.ts';

/** What a frame is to a request: no answer to it; part of the answer; the end of it; or a refusal. */
export type FrameMatch = 'foreign' | 'more' | 'done' | DcsError;

export type ReplyMatcher = (look: MatchedFrame) => FrameMatch;

/** Something to send, and what to wait for. */
export interface SerialRequest {
  readonly bytes: Buffer;
  /** Writes go before asks. */
  readonly lane: 'write' | 'ask';
  /** How often it is sent again when no answer comes in time. */
  readonly retries: number;
  /** It is not sent, nor sent again, after this. */
  readonly expiresAt?: MonotonicMs | undefined;
  /**
   * Makes the judge of frames that come in, a new one for each sending. With `late`, of those that come when nobody waits
   * any more: it must do nothing but say whose they are. Absent: the job is done once the kernel has the bytes.
   */
  readonly createMatcher?: (late: boolean) => ReplyMatcher;
}

/** How an exchange reaches the line, and what bounds it. */
export interface RequestQueueLine {
  send(bytes: Buffer): Promise<void>;
  /** How long an answer may take, counted from the last byte sent. */
  readonly timeout: DurationMs;
  /** Time the line needs for one byte. */
  readonly byteTime: DurationMs;
  readonly clock: Clock;
  count(name: string, by?: number): void;
}

interface Entry {
  readonly job: SerialRequest;
  resolve(): void;
  reject(error: unknown): void;
}

interface Waiting {
  readonly judge: ReplyMatcher;
  settle(outcome: DcsError | undefined): void;
}

/** Most bytes waiting to be sent; more is refused, so that what goes out is never old. */
const QUEUE_LIMIT = 65_536;

/**
 * Everything a port sends, one at a time. While a request waits for its answer nothing else is sent. When no answer
 * came in time the line is left in quiet until the late answer has come (and is thrown away) or the same time has
 * passed again: a late answer must not be taken for the answer to the next request.
 */
export class RequestQueue {
  readonly #line: RequestQueueLine;
  readonly #lanes: Readonly<Record<SerialRequest['lane'], Entry[]>> = { write: [], ask: [] };
  #running = false;
  #queued = 0;
  #waiting: Waiting | undefined;
  /** A request whose answer may still come, and what to call when it need not be waited for any more. */
  #late: { readonly judge: ReplyMatcher; readonly over: Promise<void>; end(): void } | undefined;
  #ended: DcsError | undefined;

  constructor(line: RequestQueueLine) {
    this.#line = line;
  }

  /** Resolves when the bytes are sent and answered as they should be. */
  async submit(job: SerialRequest): Promise<void> {
    if (this.#ended) throw this.#ended;
    if (this.#queued + job.bytes.length > QUEUE_LIMIT) {
      this.#line.count('sends_refused');
      throw new DcsError('BUSY', `${this.#queued} bytes already wait to be sent`);
    }
    this.#queued += job.bytes.length;
    const done = new Promise<void>((resolve, reject) => this.#lanes[job.lane].push({ job, resolve, reject }));
    void this.#run();
    return done;
  }

  /** Shows a frame to the request under way; true when it is its answer (or a late one) and nobody else's. */
  handleFrame(look: MatchedFrame): boolean {
    const waiting = this.#waiting;
    if (waiting) {
      const answer = waiting.judge(look);
      if (answer === 'foreign') return false;
      if (answer === 'more') return true;
      // At once: the next frame may already be at hand, and it is no answer any more.
      this.#waiting = undefined;
      waiting.settle(answer === 'done' ? undefined : answer);
      return true;
    }
    const late = this.#late;
    const answer = late?.judge(look) ?? 'foreign';
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
        await this.#execute(entry.job);
        entry.resolve();
      } catch (error) {
        entry.reject(error);
      } finally {
        this.#queued -= entry.job.bytes.length;
      }
    }
    this.#running = false;
  }

  #next(): Entry | undefined {
    return this.#lanes.write.shift() ?? this.#lanes.ask.shift();
  }

  async #execute(job: SerialRequest): Promise<void> {
    for (let again = 0; ; again++) {
      await this.#late?.over;
      if (this.#ended) throw this.#ended;
      if (this.#expired(job)) {
        if (again === 0) throw new DcsError('EXPIRED', `${printable(job.bytes)} waited too long for its turn`);
        throw this.#noAnswerError(job, again);
      }
      const outcome = await this.#attempt(job);
      if (outcome === undefined) return;
      if (outcome !== 'silence') throw outcome;
      this.#line.count('timeouts');
      if (again >= job.retries || this.#expired(job)) throw this.#noAnswerError(job, again + 1);
      this.#line.count('retries');
    }
  }

  #noAnswerError({ bytes }: SerialRequest, requests: number): DcsError {
    return new DcsError('TIMEOUT', `no answer to ${printable(bytes)} within ${this.#line.timeout} ms`, {
      expected: requests > 1 ? `an answer to one of ${requests} requests` : 'an answer',
    });
  }

  #expired({ expiresAt }: SerialRequest): boolean {
    return expiresAt !== undefined && this.#line.clock.now() > expiresAt;
  }

  /** Sends once; gives what it came to. */
  async #attempt(job: SerialRequest): Promise<DcsError | 'silence' | undefined> {
    const { createMatcher: judge } = job;
    if (!judge) {
      await this.#line.send(job.bytes);
      return undefined;
    }
    let timer: Timer | undefined;
    const answered = new Promise<DcsError | 'silence' | undefined>((resolve) => {
      this.#waiting = { judge: judge(false), settle: resolve };
    });
    try {
      await this.#line.send(job.bytes);
      const silent = new Promise<'silence'>((resolve) => {
        const wait = this.#line.timeout + job.bytes.length * this.#line.byteTime;
        timer = this.#line.clock.after(wait, () => resolve('silence'));
      });
      const outcome = await Promise.race([answered, silent]);
      if (outcome === 'silence') this.#quarantine(judge(true));
      return outcome;
    } finally {
      timer?.cancel();
      this.#waiting = undefined;
    }
  }

  #quarantine(judge: ReplyMatcher): void {
    let end = () => {};
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const timer = this.#line.clock.after(this.#line.timeout, () => late.end());
    const late = {
      judge,
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

function printable(bytes: Buffer): string {
  const text = JSON.stringify(bytes.subarray(0, 40).toString('latin1'));
  return bytes.length > 40 ? `${text}…` : text;
}
