import type { Clock, DurationMs, MonotonicMs } from '../clock/clock.ts';
import type { PingLine, PingOffer, Pings } from './pings.ts';

/** An answer that takes longer than this counts as lost (ms). */
const LOST_MS = 300;
/** How long a loss is remembered (ms). */
const MEMORY_MS = 20_000;
/** A peer that answered so lately is there (ms). A quarter of all packets lost each way: 16 asks fail together once in 500,000. */
const ALIVE_MS = 1200;
/** A second ask follows the first of a tick after this (ms). */
const AGAIN_MS = 75;
/** How often a line is used although nothing is wrong (ms): address translations forget after 30 s. */
const KEEP_MS = 10_000;
/** How often a line is tried that never worked, before it is left alone. */
const TRIES = 40;

export interface ReachHooks {
  /** The peer hears nothing of us on the connection. */
  deaf(): void;
  /** The peer takes us for lost. */
  givenUp(): void;
}

/** What datagrams say of one peer while its connection is silent: whether it lives, and whether the network loses packets. */
export class Reach {
  readonly #clock: Clock;
  readonly #line: PingLine;
  readonly #waiting = new Map<bigint, MonotonicMs>();
  #answeredAt = Number.NEGATIVE_INFINITY;
  #lostAt = Number.NEGATIVE_INFINITY;
  #roundTripMs: DurationMs | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #tries = 0;
  #proven = false;
  #closed = false;

  /** Undefined where there are no datagrams. */
  static open(pings: Pings, clock: Clock, host: string | undefined, hooks: ReachHooks): Reach | undefined {
    let reach: Reach | undefined;
    const line = pings.open(host, {
      answered: (serial) => reach?.answered(serial),
      asked: (isDeaf) => {
        reach?.asked();
        if (isDeaf) hooks.deaf();
      },
      givenUp: () => hooks.givenUp(),
    });
    reach = line && new Reach(clock, line);
    return reach;
  }

  constructor(clock: Clock, line: PingLine) {
    this.#clock = clock;
    this.#line = line;
  }

  get offer(): PingOffer {
    return this.#line.offer;
  }

  /** Datagrams of this peer get through to us, or did. */
  get proven(): boolean {
    return this.#proven;
  }

  /** The peer says where it takes datagrams. False: that makes no sense. */
  met(found: unknown): boolean {
    const met = this.#line.met(found);
    if (met) this.tick(this.#clock.now(), false, false);
    return met;
  }

  /** Called several times a second. `silent`: the connection is, suspiciously; `deaf`: so long that the peer should know. */
  tick(now: MonotonicMs, silent: boolean, deaf: boolean): void {
    if (!this.#line.usable) return;
    if (!silent && (this.proven ? now - this.#askedAt < KEEP_MS : this.#tries >= TRIES)) return;
    this.#tries++;
    this.#ask(now, deaf);
    if (silent) this.#clock.after(AGAIN_MS, () => !this.#closed && this.#ask(this.#clock.now(), deaf));
  }

  /** How long the last answer took; undefined: there was none. */
  get roundTripMs(): DurationMs | undefined {
    return this.#roundTripMs;
  }

  alive(now: MonotonicMs): boolean {
    return now - this.#answeredAt < ALIVE_MS;
  }

  lossy(now: MonotonicMs): boolean {
    this.#age(now);
    return now - this.#lostAt < MEMORY_MS;
  }

  answered(serial: bigint): void {
    const askedAt = this.#waiting.get(serial);
    if (askedAt === undefined) return;
    this.#waiting.delete(serial);
    this.asked();
    this.#answeredAt = this.#clock.now();
    this.#roundTripMs = this.#answeredAt - askedAt;
  }

  /** The peer asked: it can send to us. Whether we can to it only an answer tells. */
  asked(): void {
    // What was asked before the peer could answer was not lost by the network.
    if (!this.#proven) this.#waiting.clear();
    this.#proven = true;
  }

  /** Tells the peer that we have given it up: it may hear us, although we do not hear it. */
  giveUp(): void {
    this.#line.giveUp();
  }

  close(): void {
    this.#closed = true;
    this.#line.close();
  }

  #ask(now: MonotonicMs, deaf: boolean): void {
    this.#age(now);
    this.#askedAt = now;
    this.#waiting.set(this.#line.ask(deaf), now);
  }

  #age(now: MonotonicMs): void {
    for (const [serial, at] of this.#waiting) {
      if (now - at <= LOST_MS) return;
      this.#waiting.delete(serial);
      if (this.proven) this.#lostAt = now;
    }
  }
}
