import type { Clock, Timer } from '../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { ReplyMatcher, RequestQueue, SerialRequest } from './request-queue.ts';
import type { SerialChannel } from './serial-channel.ts';

/** A command that is sent periodically, and the channels that its answer fills. */
export class Poll {
  readonly channels: readonly SerialChannel[];
  readonly #bytes: Buffer;
  readonly #every: number;
  readonly #retries: number;
  readonly #requests: RequestQueue;
  readonly #clock: Clock;
  readonly #count: (name: string) => void;
  #unanswered = new Set<SerialChannel>();
  #pending: Promise<void> | undefined;
  #timer: Timer | undefined;
  #due: number;

  constructor(
    ask: { readonly bytes: Buffer; readonly every: number },
    channels: readonly SerialChannel[],
    retries: number,
    requests: RequestQueue,
    context: { readonly clock: Clock; count(name: string): void },
  ) {
    this.channels = channels;
    this.#bytes = ask.bytes;
    this.#every = ask.every;
    this.#retries = retries;
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
      retries: this.#retries,
      createMatcher: (late) => this.#createMatcher(late),
    };
    try {
      await this.#requests.submit(request);
    } catch (thrown) {
      const error = toDcsError(thrown);
      // The port's owner hears of the loss and fails every pin.
      if (error.code === 'PORT_DOWN') return;
      for (const channel of this.#unanswered) channel.report({ ok: false, error });
    }
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

/** Matches the answer to a command: the frame that confirms it, or the frame that refuses it. */
export function confirmationMatcher(reply: RegExp, refused: RegExp | undefined): ReplyMatcher {
  return (frame) => {
    if (refused && frame.captures(refused)) {
      return new DcsError('DEVICE_REFUSED', `the device refused: ${JSON.stringify(frame.text)}`, { found: frame.text });
    }
    return frame.captures(reply) ? 'done' : 'foreign';
  };
}
