import type { MonotonicMs, Timer, UnixSeconds } from '../../src/clock/clock.ts';
import type { Channel, PortContext, Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { SerialAddress, Source } from './address.ts';
import type { MatchedFrame } from './frame-receiver.ts';
import { readCapture, readField } from './value.ts';

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

  /** The reading in a frame; `undefined` when the frame does not match. A match without a usable value is a failure. */
  readingOf(frame: MatchedFrame, sourceTime: UnixSeconds): Reading | undefined {
    const { source } = this;
    const captures = source && frame.captures(source.pattern?.match);
    if (!source || !captures) return undefined;
    const { field, style } = source;
    const capture = captureNamed(captures, source.capture);
    const value = field ? readField(frame.bytes, field.at, field.as) : readCapture(capture, style);
    return value === undefined ? this.#badCapture(frame, capture ?? '') : { ok: true, value, sourceTime };
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

function captureNamed(captures: RegExpExecArray, name: number | string): string | undefined {
  return typeof name === 'number' ? captures[name] : captures.groups?.[name];
}
