import { isIPv6 } from 'node:net';
import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';

/** Wrong tries an address has before it must wait. */
const FREE_TRIES = 5;
const FIRST_WAIT_MS: DurationMs = 10_000;
const MAX_WAIT_MS: DurationMs = 15 * 60_000;
/** Wrong tries are forgotten after this. */
const FORGET_MS: DurationMs = 60 * 60_000;
const MAX_ADDRESSES = 10_000;
/** Whoever asks for more names than this is guessing those, too. */
const MAX_NAMES = 20;

interface Tries {
  failures: number;
  last: MonotonicMs;
  blockedUntil: MonotonicMs;
  /** How many of the failures were for each name. */
  readonly names: Map<string, number>;
}

/**
 * Slows down guessing: after five wrong tries an address waits 10 s, then twice as long each time, up to 15 min. Names are
 * not blocked, since that would let anybody lock an operator out.
 */
export class LoginLimit {
  readonly #clock: Clock;
  readonly #byAddress = new Map<string, Tries>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Seconds the address has to wait before it may try; 0: now. */
  wait(address: string): number {
    const tries = this.#byAddress.get(networkOf(address));
    return tries ? Math.max(0, Math.ceil((tries.blockedUntil - this.#clock.now()) / 1000)) : 0;
  }

  /** A try for this name was wrong. Returns how often that has happened from there. */
  failed(address: string, name: string): number {
    const key = networkOf(address);
    const now = this.#clock.now();
    const known = this.#byAddress.get(key);
    const tries: Tries =
      known && now - known.last < FORGET_MS ? known : { failures: 0, last: now, blockedUntil: 0, names: new Map() };
    tries.failures++;
    tries.last = now;
    if (tries.names.has(name) || tries.names.size < MAX_NAMES) tries.names.set(name, (tries.names.get(name) ?? 0) + 1);
    const over = tries.failures - FREE_TRIES;
    if (over >= 0) tries.blockedUntil = now + Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(over, 20));
    // Entered anew, so that the oldest comes first.
    this.#byAddress.delete(key);
    this.#byAddress.set(key, tries);
    const [oldest] = this.#byAddress.keys();
    if (this.#byAddress.size > MAX_ADDRESSES && oldest !== undefined) this.#byAddress.delete(oldest);
    return tries.failures;
  }

  /** A right one forgives the wrong ones for the same name only: who has a login must not guess those of others with it. */
  succeeded(address: string, name: string): void {
    const tries = this.#byAddress.get(networkOf(address));
    if (!tries) return;
    tries.failures -= tries.names.get(name) ?? 0;
    tries.names.delete(name);
    if (tries.failures === 0) this.#byAddress.delete(networkOf(address));
  }
}

/** Whom an address belongs to: an IPv6 host has a whole /64 to come from. */
export function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - front.length - back.length }, () => '0');
  return [...front, ...zeros, ...back].slice(0, 4).join(':');
}
