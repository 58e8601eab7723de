import type { Clock, MonotonicMs, Timer, UnixSeconds } from '../../src/clock/clock.ts';
import type { Channel, Reading, ReadingListener } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { SerialAddress, Source } from './address.ts';
import type { MatchedFrame } from './frame-receiver.ts';
import { readCapture, readField } from './value.ts';

/** A pin's place on the port: its last reading and who listens. */
export class SerialChannel {
  readonly channel: Channel<SerialAddress>;
  readonly listeners = new Set<ReadingListener>();
  last: Reading | undefined;
  readonly #clock: Clock;
  #matchedAt: MonotonicMs;
  #timer: Timer | undefined;

  constructor(channel: Channel<SerialAddress>, clock: Clock) {
    this.channel = channel;
    this.#clock = clock;
    this.#matchedAt = clock.now();
  }

  get source(): Source | undefined {
    return this.channel.address.source;
  }

  /** What a frame says of this pin; undefined: nothing. A frame that matches without a usable value is a failure. */
  readingOf(look: MatchedFrame, sourceTime: UnixSeconds): Reading | undefined {
    const { source } = this;
    const captures = source && look.found(source.pattern?.match);
    if (!source || !captures) return undefined;
    const { field, style } = source;
    const capture = captureNamed(captures, source.capture);
    const value = field ? readField(look.bytes, field.at, field.as) : readCapture(capture, style);
    return value === undefined ? this.#badCapture(look, capture ?? '') : { ok: true, value, sourceTime };
  }

  #badCapture(look: MatchedFrame, capture: string): Reading {
    const { field, style } = this.source ?? {};
    const found = field ? look.bytes.toString('hex') : capture;
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
    this.last = reading;
    for (const listener of this.listeners) listener(reading);
  }

  /** Something matched just now. */
  noteMatch(): void {
    if (this.source?.maxAge === undefined) return;
    this.#matchedAt = this.#clock.now();
    if (!this.#timer) this.startAgeTimer();
  }

  /** Makes the pin bad once nothing has matched for its max_age. */
  startAgeTimer(): void {
    const maxAge = this.source?.maxAge;
    if (maxAge === undefined) return;
    // One timer that looks again, rather than one for every frame.
    this.#timer = this.#clock.after(Math.max(1, this.#matchedAt + maxAge - this.#clock.now()), () => {
      this.#timer = undefined;
      if (this.#clock.now() - this.#matchedAt < maxAge) {
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
    this.#timer?.cancel();
    this.listeners.clear();
  }
}

function captureNamed(captures: RegExpExecArray, name: number | string): string | undefined {
  return typeof name === 'number' ? captures[name] : captures.groups?.[name];
}
