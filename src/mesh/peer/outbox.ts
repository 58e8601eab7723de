import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import { systemCode } from '../../errors/errors.ts';
import type { Connection } from './acceptor.ts';

/** A batch is sent when it has grown to this many characters, whatever the turn of the event loop. */
const BATCH_CHARS = 16_384;
/** What may wait for one peer that does not take it (characters). Beyond it messages are dropped, counted, and resynced. */
export const OUTBOX_CHARS = 4 * 1024 * 1024;
/**
 * Under load what follows within this time of the last frame leaves with the next (ms): a frame costs more than what is
 * in it. And the most turns of the event loop that may take.
 */
const GATHER_MS = 0.3;
const GATHER_TURNS = 20;
/** How often a frame the transport refused is tried again (ms). */
const RETRY_MS = 3;

export interface OutboxHooks {
  dropped(messages: number): void;
  unreachable(): void;
}

/**
 * What waits to be sent to one peer. A message leaves at once, unless one has just left: then it leaves with those that
 * follow, at the end of this turn of the event loop or a few later. An urgent one never waits and takes the waiting ones
 * with it, so the order stays.
 */
export class Outbox {
  lastSent: MonotonicMs;
  readonly #clock: Clock;
  readonly #wire: Connection;
  readonly #hooks: OutboxHooks;
  #batch: string[] = [];
  #batchChars = 0;
  #next = 0;
  readonly #frames: { readonly text: string; readonly messages: number }[] = [];
  #chars = 0;
  #pumping = false;
  #turn: NodeJS.Immediate | undefined;
  #flushed: MonotonicMs = 0;
  #held: Timer | undefined;
  #closed = false;
  #empty: () => void = () => undefined;

  constructor(clock: Clock, wire: Connection, hold: DurationMs, hooks: OutboxHooks) {
    this.#clock = clock;
    this.#wire = wire;
    this.#hooks = hooks;
    this.lastSent = clock.now();
    this.#held = clock.after(hold, () => {
      this.#held = undefined;
      this.flush();
    });
  }

  /** How many messages have been numbered: sent, or next to be. */
  get numbered(): number {
    return this.#next;
  }

  post(text: string, urgent: boolean): void {
    this.#batch.push(text);
    this.#batchChars += text.length;
    if (this.#batchChars >= BATCH_CHARS) this.#seal();
    if (urgent || (this.#turn === undefined && this.#clock.now() - this.#flushed >= GATHER_MS)) this.flush();
    else this.#turn ??= setImmediate(() => this.#gather(1));
  }

  #gather(turns: number): void {
    this.#turn = undefined;
    if (this.#batch.length === 0) return;
    if (turns >= GATHER_TURNS || this.#clock.now() - this.#flushed >= GATHER_MS) this.flush();
    else this.#turn = setImmediate(() => this.#gather(turns + 1));
  }

  /** Sends a frame of the mesh's own, after what waits in this turn. */
  control(text: string): void {
    this.flush();
    this.#enqueue(text, 0);
  }

  /**
   * Says that we live, and how far the numbering is: a loss at the end is noticed too. Behind what already waits it would
   * say nothing more, and to a peer that takes nothing they would pile up without end.
   */
  beat(): void {
    if (this.#frames.length === 0) this.#enqueue(`{"s":${this.#next},"t":${this.#now()}}`, 0);
  }

  /** Sends the batch; `now`: although the session has just opened. */
  flush(now = false): void {
    if (now) {
      this.#held?.cancel();
      this.#held = undefined;
    }
    if (this.#held) return;
    this.#flushed = this.#clock.now();
    this.#seal();
    if (!this.#pumping) void this.#pump();
  }

  /** Resolves when everything has been handed to the transport, or after `limit`. */
  drained(limit: DurationMs): Promise<void> {
    if (this.#frames.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.after(limit, resolve);
      this.#empty = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  close(): void {
    this.#closed = true;
    this.#held?.cancel();
    if (this.#turn) clearImmediate(this.#turn);
    this.#frames.length = 0;
    this.#batch = [];
  }

  #seal(): void {
    const messages = this.#batch.length;
    if (messages === 0) return;
    const text = `{"s":${this.#next},"t":${this.#now()},"m":[${this.#batch.join(',')}]}`;
    this.#next += messages;
    this.#batch = [];
    this.#batchChars = 0;
    this.#frames.push({ text, messages });
    this.#chars += text.length;
    if (this.#chars <= OUTBOX_CHARS) return;
    this.#frames.pop();
    this.#chars -= text.length;
    this.#hooks.dropped(messages);
  }

  #enqueue(text: string, messages: number): void {
    this.#frames.push({ text, messages });
    this.#chars += text.length;
    if (!this.#pumping) void this.#pump();
  }

  /** Hands frames to the transport in order; one that is refused is tried again, and nothing overtakes it. */
  async #pump(): Promise<void> {
    this.#pumping = true;
    for (let frame = this.#frames[0]; frame && !this.#closed; frame = this.#frames[0]) {
      try {
        await this.#wire.send(frame.text);
        if (this.#frames.shift()) this.#chars -= frame.text.length;
        this.lastSent = this.#clock.now();
      } catch (error) {
        if (systemCode(error) === 'EHOSTUNREACH') {
          this.#hooks.unreachable();
          break;
        }
        await new Promise<void>((resolve) => void this.#clock.after(RETRY_MS, resolve));
      }
    }
    this.#pumping = false;
    this.#empty();
  }

  #now(): string {
    return this.#clock.now().toFixed(2);
  }
}
