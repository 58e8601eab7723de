import type { Clock, MonotonicMs, Timer, UnixSeconds } from '../../src/clock/clock.ts';
import type { Channel, PortContext, Reading } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { SerialAddress, Source } from './address.ts';
import { joinedCaptures } from './capture.ts';
import type { MatchedFrame } from './frame-receiver.ts';
import type { ReplyMatcher, RequestQueue, SerialRequest } from './request-queue.ts';
import { convertUnit } from './units.ts';
import { readCapture, readField, readTime } from './value.ts';

/** Characters of a frame that a reason shows. */
const SHOWN = 80;

/** A channel of the port and its last reading. */
export class SerialChannel {
  readonly channel: Channel<SerialAddress>;
  last: Reading | undefined;
  readonly #context: Pick<PortContext, 'clock' | 'changed'>;
  #matchedAt: MonotonicMs;
  #timer: Timer | undefined;
  #ended = false;

  constructor(channel: Channel<SerialAddress>, context: Pick<PortContext, 'clock' | 'changed'>) {
    this.channel = channel;
    this.#context = context;
    this.#matchedAt = context.clock.now();
  }

  get source(): Source | undefined {
    return this.channel.address.source;
  }

  /**
   * The reading in a frame; `undefined` when the frame does not concern the pin. A match without a usable value is a failure, and
   * so is a frame with which the device says that its value does not count.
   */
  readingOf(frame: MatchedFrame, sourceTime: UnixSeconds): Reading | undefined {
    const { source } = this;
    if (!source) return undefined;
    if (source.bad && frame.mayMatch(source.bad.match)) return this.#disowned(frame, source.bad.match);
    const captures = frame.captures(source.pattern?.match);
    if (!captures) return undefined;
    const { field, style } = source;
    const capture = joinedCaptures(captures, source.capture);
    const value = field ? readField(frame.bytes, field.at, field.as) : readCapture(capture, style);
    if (value === undefined) return this.#badCapture(frame, capture ?? '');
    const converted = source.unit ? this.#converted(value, captures.groups?.['uom']) : value;
    if (converted instanceof DcsError) return { ok: false, error: converted };
    return this.#timed({ ok: true, value: converted, sourceTime }, captures.groups);
  }

  #disowned(frame: MatchedFrame, bad: RegExp): Reading {
    const found = frame.captures(bad);
    // What surrounds the match helps people, as long as it is short.
    const said = (frame.text.length > SHOWN && found ? found[0] : frame.text).slice(0, SHOWN);
    const message = found
      ? `the device says that the value does not count: ${JSON.stringify(said)}`
      : `whether the value counts is unknown: ${bad} takes too long`;
    return { ok: false, error: new DcsError('BAD_REPLY', message, { found: said, expected: `no match of ${bad}` }) };
  }

  /** The number in the unit of the pin; an error when the device says another unit than the pin can have. */
  #converted(value: RawValue, said: string | undefined): RawValue | DcsError {
    const { uom } = this.channel;
    const { words } = this.source?.unit ?? {};
    const converted = typeof value === 'number' ? convertUnit(value, said ?? '', uom, words) : undefined;
    if (converted !== undefined) return converted;
    const unit = said === undefined || said === '' ? 'no unit' : JSON.stringify(said);
    return new DcsError(
      'BAD_REPLY',
      `the device says ${unit}, which cannot be converted to ${uom ?? 'a unit of units'}`,
      {
        found: said,
        expected: [...(uom === undefined ? [] : [uom]), ...Object.keys(words ?? {})].join(', '),
      },
    );
  }

  /** The reading with the time that the device gives it. */
  #timed(reading: Reading & { ok: true }, groups: Readonly<Record<string, string>> | undefined): Reading {
    const { maxLag } = this.source ?? {};
    if (maxLag === undefined || groups?.['time'] === undefined || groups['now'] === undefined) return reading;
    const [time, now] = [readTime(groups['time']), readTime(groups['now'])];
    if (time === undefined || now === undefined)
      return { ...reading, uncertain: `the value has no time: ${groups['time']}` };
    const lag = 1000 * (now - time);
    if (lag <= maxLag) return reading;
    return { ...reading, uncertain: `the value is ${Math.round(lag / 3_600_000)} h older than the telegram` };
  }

  #badCapture(frame: MatchedFrame, capture: string): Reading {
    const { field, style } = this.source ?? {};
    const found = field ? frame.bytes.toString('hex') : capture;
    const type = field?.as ?? style?.type;
    return {
      ok: false,
      error: new DcsError('BAD_REPLY', `${JSON.stringify(found)} has no ${type} for ${this.channel.key}`, {
        found,
        expected: field ? `a ${type} at byte ${field.at}` : `a ${type}`,
      }),
    };
  }

  report(reading: Reading): void {
    if (this.#ended) return;
    this.last = reading;
    this.#context.changed(this.channel, reading);
  }

  /** A frame matched just now. */
  noteMatch(): void {
    if (this.source?.maxAge === undefined) return;
    this.#matchedAt = this.#context.clock.now();
    if (!this.#timer) this.startAgeTimer();
  }

  /** Makes the pin bad once nothing has matched for its max_age. */
  startAgeTimer(): void {
    const maxAge = this.source?.maxAge;
    if (maxAge === undefined) return;
    // One timer that checks the age, rather than a new one for every frame.
    this.#timer = this.#context.clock.after(Math.max(1, this.#matchedAt + maxAge - this.#context.clock.now()), () => {
      this.#timer = undefined;
      if (this.#context.clock.now() - this.#matchedAt < maxAge) {
        this.startAgeTimer();
        return;
      }
      const message = `nothing has matched ${this.channel.key} for ${maxAge} ms`;
      this.report({
        ok: false,
        error: new DcsError('TIMEOUT', message, { expected: `a matching frame every ${maxAge} ms` }),
      });
    });
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }
}

/** A question without an answer is asked again after this time when its period is longer. */
const RETRY_MS = 1000;

/** Silence of the device that counts as a loss. */
export interface PollLimits {
  /** Number of repetitions of a question without an answer. */
  readonly retries: number;
  /** The values are bad after this many requests in a row without an answer. */
  readonly misses: number;
}

/** A command that is sent periodically, and the channels that its answer fills. */
export class Poll {
  readonly channels: readonly SerialChannel[];
  readonly #bytes: Buffer;
  readonly #every: number;
  readonly #limits: PollLimits;
  readonly #requests: RequestQueue;
  readonly #clock: Clock;
  readonly #count: (name: string) => void;
  #unanswered = new Set<SerialChannel>();
  #pending: Promise<void> | undefined;
  #timer: Timer | undefined;
  #retryTimer: Timer | undefined;
  #due: number;
  /** Number of requests in a row without an answer. */
  #misses = 0;

  constructor(
    ask: { readonly bytes: Buffer; readonly every: number },
    channels: readonly SerialChannel[],
    limits: PollLimits,
    requests: RequestQueue,
    context: { readonly clock: Clock; count(name: string): void },
  ) {
    this.channels = channels;
    this.#bytes = ask.bytes;
    this.#every = ask.every;
    this.#limits = limits;
    this.#requests = requests;
    this.#clock = context.clock;
    this.#count = (name) => context.count(name);
    this.#due = context.clock.now();
  }

  /** Asks now and then at a fixed rate. A poll that is due while the last one is under way is skipped and counted. */
  start(): void {
    if (this.#pending) this.#count('polls_skipped');
    else void this.ask();
    this.#due += this.#every;
    const now = this.#clock.now();
    while (this.#due <= now) {
      this.#due += this.#every;
      this.#count('polls_skipped');
    }
    this.#timer = this.#clock.after(this.#due - now, () => this.start());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#retryTimer?.cancel();
  }

  /** Asks once. Resolves when every channel has its reading or its failure; never rejects. */
  ask(): Promise<void> {
    this.#pending ??= this.#askOnce().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #askOnce(): Promise<void> {
    const request: SerialRequest = {
      bytes: this.#bytes,
      lane: 'ask',
      retries: this.#limits.retries,
      createMatcher: (late) => this.#createMatcher(late),
    };
    try {
      await this.#requests.submit(request);
      this.#misses = 0;
    } catch (thrown) {
      const error = toDcsError(thrown);
      // The port's owner hears of the loss and fails every pin.
      if (error.code === 'PORT_DOWN') return;
      const bad = error.code !== 'TIMEOUT' || this.#isLost();
      // A value stays good while only a few answers are lost.
      for (const channel of this.#unanswered) if (bad || !channel.last?.ok) channel.report({ ok: false, error });
    }
  }

  /** The question got no answer, nor did its repetitions. Returns whether that is a loss; if not, it is asked again soon. */
  #isLost(): boolean {
    const { retries, misses } = this.#limits;
    this.#misses += 1 + retries;
    if (this.#misses >= misses) return true;
    this.#retryTimer?.cancel();
    if (this.#every > RETRY_MS) this.#retryTimer = this.#clock.after(RETRY_MS, () => void this.ask());
    return false;
  }

  /** The answer is complete when every channel has found its value, in one frame or in several. */
  #createMatcher(late: boolean): ReplyMatcher {
    const unanswered = new Set(this.channels);
    if (!late) this.#unanswered = unanswered;
    return (frame) => {
      let matched = false;
      for (const channel of this.channels) {
        const reading = channel.readingOf(frame, this.#clock.unix());
        if (!reading) continue;
        matched = true;
        if (!unanswered.delete(channel) || late) continue;
        channel.noteMatch();
        channel.report(reading);
      }
      if (!matched) return 'foreign';
      return unanswered.size === 0 ? 'done' : 'more';
    };
  }
}

/** Matches the answer to a command: the frame that confirms it, which calls `onConfirmed`, or the frame that refuses it. */
export function confirmationMatcher(reply: RegExp, refused: RegExp | undefined, onConfirmed: () => void): ReplyMatcher {
  return (frame) => {
    if (refused && frame.captures(refused)) {
      return new DcsError('DEVICE_REFUSED', `the device refused: ${JSON.stringify(frame.text)}`, { found: frame.text });
    }
    if (!frame.captures(reply)) return 'foreign';
    onConfirmed();
    return 'done';
  };
}
