import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import { systemCode } from '../../errors/errors.ts';
import type { Connection } from './acceptor.ts';

/** A batch is sent when it has grown to this many characters, whatever the turn of the event loop. */
const BATCH_CHARS = 16_384;
/** Most characters that wait for one peer that does not read. Beyond it messages are dropped, counted, and resynced. */
export const OUTBOX_CHARS = 4 * 1024 * 1024;
/**
 * Under load, messages that follow within this time of the last frame leave with the next one (ms): a frame costs more than
 * its content. GATHER_TURNS is the most turns of the event loop that may take.
 */
const GATHER_MS = 0.3;
const GATHER_TURNS = 20;
/** Interval at which a frame that the transport refused is tried again (ms). */
const RETRY_MS = 3;

export interface OutboxOwner {
  /** So many messages were dropped, because the peer does not read. */
  onDropped(messages: number): void;
  /** The transport says that the peer is gone. */
  onDisconnect(): void;
}

/**
 * The send queue of one session. A message leaves at once, unless one has just left: then it leaves with those that follow,
 * at the end of this turn of the event loop or a few turns later. An urgent message leaves as soon as the running code is done
 * and takes the waiting ones with it, so the order stays.
 */
export class Outbox {
  lastSent: MonotonicMs;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #owner: OutboxOwner;
  #batch: string[] = [];
  #batchChars = 0;
  #nextSerial = 0;
  readonly #frames: string[] = [];
  #frameChars = 0;
  #pumping = false;
  #gatherTurn: NodeJS.Immediate | undefined;
  #flushPlanned = false;
  #flushedAt: MonotonicMs = 0;
  #holdTimer: Timer | undefined;
  #closed = false;
  #onEmpty: () => void = () => undefined;

  /** Messages wait for `hold` ms before the first of them leaves. */
  constructor(clock: Clock, connection: Connection, hold: DurationMs, owner: OutboxOwner) {
    this.#clock = clock;
    this.#connection = connection;
    this.#owner = owner;
    this.lastSent = clock.now();
    this.#holdTimer = clock.after(hold, () => {
      this.#holdTimer = undefined;
      this.flush();
    });
  }

  /** Number of messages that have a serial number: they were sent or are in the next frames. */
  get numbered(): number {
    return this.#nextSerial;
  }

  post(text: string, urgent: boolean): void {
    this.#batch.push(text);
    this.#batchChars += text.length;
    if (this.#batchChars >= BATCH_CHARS) {
      // Sealed also while `hold` lasts, so that no frame grows without limit.
      this.#seal();
      this.flush();
    } else if (urgent) this.#flushSoon();
    else if (this.#gatherTurn === undefined && this.#clock.now() - this.#flushedAt >= GATHER_MS) this.flush();
    else this.#gatherTurn ??= setImmediate(() => this.#gather(1));
  }

  /** Flushes when the code that runs now is done: the answers to commands of one frame leave in one frame, too. */
  #flushSoon(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    process.nextTick(() => {
      this.#flushPlanned = false;
      if (!this.#closed) this.flush();
    });
  }

  #gather(turns: number): void {
    this.#gatherTurn = undefined;
    if (this.#batch.length === 0) return;
    if (turns >= GATHER_TURNS || this.#clock.now() - this.#flushedAt >= GATHER_MS) this.flush();
    else this.#gatherTurn = setImmediate(() => this.#gather(turns + 1));
  }

  /** Sends a control frame, behind the messages that wait. */
  control(text: string): void {
    this.flush();
    this.#enqueue(text);
  }

  /**
   * Sends a heartbeat with the next serial number, so that a loss at the end is noticed too. Sends none while messages or frames
   * wait: behind them it would say nothing more, and for a peer that does not read heartbeats would pile up.
   */
  heartbeat(): void {
    if (this.#frames.length === 0 && this.#batch.length === 0)
      this.#enqueue(`{"s":${this.#nextSerial},"t":${this.#now()}}`);
  }

  /** Sends the batch. `now`: even when the session has just opened. */
  flush(now = false): void {
    if (now) {
      this.#holdTimer?.cancel();
      this.#holdTimer = undefined;
    }
    if (this.#holdTimer) return;
    this.#flushedAt = this.#clock.now();
    this.#seal();
    if (!this.#pumping) void this.#pump();
  }

  /** Resolves when every frame was handed to the transport, or after `limit` ms. */
  drained(limit: DurationMs): Promise<void> {
    if (this.#frames.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.after(limit, resolve);
      this.#onEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  close(): void {
    this.#closed = true;
    this.#holdTimer?.cancel();
    if (this.#gatherTurn) clearImmediate(this.#gatherTurn);
    this.#frames.length = 0;
    this.#batch = [];
  }

  /** Makes a frame of the batch. */
  #seal(): void {
    const messages = this.#batch.length;
    if (messages === 0) return;
    const text = `{"s":${this.#nextSerial},"t":${this.#now()},"m":[${this.#batch.join(',')}]}`;
    this.#nextSerial += messages;
    this.#batch = [];
    this.#batchChars = 0;
    if (this.#frameChars + text.length > OUTBOX_CHARS) this.#owner.onDropped(messages);
    else this.#append(text);
  }

  #append(frame: string): void {
    this.#frames.push(frame);
    this.#frameChars += frame.length;
  }

  #enqueue(frame: string): void {
    this.#append(frame);
    if (!this.#pumping) void this.#pump();
  }

  /** Hands frames to the transport in order. A refused frame is tried again, and no other overtakes it. */
  async #pump(): Promise<void> {
    this.#pumping = true;
    for (let frame = this.#frames[0]; frame !== undefined && !this.#closed; frame = this.#frames[0]) {
      try {
        await this.#connection.send(frame);
        if (this.#frames.shift() !== undefined) this.#frameChars -= frame.length;
        this.lastSent = this.#clock.now();
      } catch (error) {
        if (systemCode(error) === 'EHOSTUNREACH') {
          this.#owner.onDisconnect();
          break;
        }
        await new Promise<void>((resolve) => void this.#clock.after(RETRY_MS, resolve));
      }
    }
    this.#pumping = false;
    this.#onEmpty();
  }

  #now(): string {
    return this.#clock.now().toFixed(2);
  }
}
