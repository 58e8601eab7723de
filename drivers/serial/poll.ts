import type { Clock, Timer } from '../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { ReplyMatcher, RequestQueue, SerialRequest } from './request-queue.ts';
import type { SerialChannel } from './serial-channel.ts';

/** A command that is asked again and again, and the pins its answer fills. */
export class Poll {
  readonly channels: readonly SerialChannel[];
  readonly #bytes: Buffer;
  readonly #every: number;
  readonly #retries: number;
  readonly #exchange: RequestQueue;
  readonly #clock: Clock;
  readonly #count: (name: string) => void;
  #unanswered = new Set<SerialChannel>();
  #pending: Promise<void> | undefined;
  #timer: Timer | undefined;
  #due: number;

  constructor(
    ask: { readonly bytes: Buffer; readonly every: number },
    points: readonly SerialChannel[],
    retries: number,
    exchange: RequestQueue,
    life: { readonly clock: Clock; count(name: string): void },
  ) {
    this.channels = points;
    this.#bytes = ask.bytes;
    this.#every = ask.every;
    this.#retries = retries;
    this.#exchange = exchange;
    this.#clock = life.clock;
    this.#count = (name) => life.count(name);
    this.#due = life.clock.now();
  }

  /** Asks now and then at a fixed rate; a turn that comes while the last one is not done is skipped and counted. */
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

  /** Asks once; resolves when every pin has been told what came of it. Never rejects. */
  ask(): Promise<void> {
    this.#pending ??= this.#askOnce().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #askOnce(): Promise<void> {
    const job: SerialRequest = {
      bytes: this.#bytes,
      lane: 'ask',
      retries: this.#retries,
      createMatcher: (late) => this.#createMatcher(late),
    };
    try {
      await this.#exchange.submit(job);
    } catch (thrown) {
      const error = toDcsError(thrown);
      // The port's end is told to its owner, who tells every pin.
      if (error.code === 'PORT_DOWN') return;
      for (const point of this.#unanswered) point.report({ ok: false, error });
    }
  }

  /** The answer is complete when every pin has found its value, be it in one frame or in several. */
  #createMatcher(late: boolean): ReplyMatcher {
    const open = new Set(this.channels);
    if (!late) this.#unanswered = open;
    return (look) => {
      let mine = false;
      for (const point of this.channels) {
        const reading = point.readingOf(look, this.#clock.unix());
        if (!reading) continue;
        mine = true;
        if (!open.delete(point) || late) continue;
        point.noteMatch();
        point.report(reading);
      }
      if (!mine) return 'foreign';
      return open.size === 0 ? 'done' : 'more';
    };
  }
}

/** The answer to a command: the frame that confirms it, or the one that refuses it. */
export function confirmationMatcher(reply: RegExp, refused: RegExp | undefined): ReplyMatcher {
  return (look) => {
    if (refused && look.found(refused)) {
      return new DcsError('DEVICE_REFUSED', `the device refused: ${JSON.stringify(look.text)}`, { found: look.text });
    }
    return look.found(reply) ? 'done' : 'foreign';
  };
}
