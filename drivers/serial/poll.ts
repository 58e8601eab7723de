import type { Clock, Timer } from '../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { Exchange, Job, Judge } from './exchange.ts';
import type { Point } from './point.ts';

/** A command that is asked again and again, and the pins its answer fills. */
export class Poll {
  readonly points: readonly Point[];
  readonly #bytes: Buffer;
  readonly #every: number;
  readonly #retries: number;
  readonly #exchange: Exchange;
  readonly #clock: Clock;
  readonly #count: (name: string) => void;
  #open = new Set<Point>();
  #asking: Promise<void> | undefined;
  #timer: Timer | undefined;
  #due: number;

  constructor(
    ask: { readonly bytes: Buffer; readonly every: number },
    points: readonly Point[],
    retries: number,
    exchange: Exchange,
    life: { readonly clock: Clock; count(name: string): void },
  ) {
    this.points = points;
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
    if (this.#asking) this.#count('polls_skipped');
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
    this.#asking ??= this.#askOnce().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askOnce(): Promise<void> {
    const job: Job = {
      bytes: this.#bytes,
      lane: 'ask',
      retries: this.#retries,
      judge: (late) => this.#judge(late),
    };
    try {
      await this.#exchange.submit(job);
    } catch (thrown) {
      const error = toDcsError(thrown);
      // The port's end is told to its owner, who tells every pin.
      if (error.code === 'PORT_DOWN') return;
      for (const point of this.#open) point.tell({ ok: false, error });
    }
  }

  /** The answer is complete when every pin has found its value, be it in one frame or in several. */
  #judge(late: boolean): Judge {
    const open = new Set(this.points);
    if (!late) this.#open = open;
    return (look) => {
      let mine = false;
      for (const point of this.points) {
        const reading = point.readingOf(look, this.#clock.unix());
        if (!reading) continue;
        mine = true;
        if (!open.delete(point) || late) continue;
        point.freshen();
        point.tell(reading);
      }
      if (!mine) return 'foreign';
      return open.size === 0 ? 'done' : 'more';
    };
  }
}

/** The answer to a command: the frame that confirms it, or the one that refuses it. */
export function confirmation(reply: RegExp, refused: RegExp | undefined): Judge {
  return (look) => {
    if (refused && look.found(refused)) {
      return new DcsError('DEVICE_REFUSED', `the device refused: ${JSON.stringify(look.text)}`, { found: look.text });
    }
    return look.found(reply) ? 'done' : 'foreign';
  };
}
