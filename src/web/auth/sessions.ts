import { createHash, randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';
import type { WebUser } from '../options.ts';

const IDLE_MS: DurationMs = 12 * 3_600_000;
const MAX_AGE_MS: DurationMs = 7 * 24 * 3_600_000;
const MAX_SESSIONS = 1000;

/** A login of a browser. */
export interface Session {
  readonly user: WebUser;
  /** CSRF token of requests that change something: a page of another site cannot know it. */
  readonly csrf: string;
  /** Hash of the cookie's secret. */
  readonly hash: string;
  readonly startedAt: MonotonicMs;
  lastUsedAt: MonotonicMs;
}

/** The login sessions of browsers. They are kept in memory: a restart of the agent ends them. */
export class Sessions {
  readonly #clock: Clock;
  readonly #sessions = new Map<string, Session>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Creates a session; `secret` is the value of its cookie. */
  create(user: WebUser): { readonly secret: string; readonly session: Session } {
    const secret = randomBytes(32).toString('base64url');
    const now = this.#clock.now();
    const hash = hashOf(secret);
    const session = { user, csrf: randomBytes(18).toString('base64url'), hash, startedAt: now, lastUsedAt: now };
    this.#sessions.set(hash, session);
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > MAX_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
    return { secret, session };
  }

  /** Returns the session of a cookie and restarts its idle time. */
  find(secret: string): Session | undefined {
    const session = this.#sessions.get(hashOf(secret));
    if (!session || !this.isAlive(session)) return undefined;
    session.lastUsedAt = this.#clock.now();
    return session;
  }

  /** Returns `false` once the session has ended: logged out, idle for 12 h, or a week old. */
  isAlive(session: Session): boolean {
    const now = this.#clock.now();
    const alive =
      this.#sessions.get(session.hash) === session &&
      now - session.lastUsedAt < IDLE_MS &&
      now - session.startedAt < MAX_AGE_MS;
    if (!alive) this.#sessions.delete(session.hash);
    return alive;
  }

  /** Restarts the idle time. */
  touch(session: Session): void {
    if (this.isAlive(session)) session.lastUsedAt = this.#clock.now();
  }

  end(session: Session): void {
    this.#sessions.delete(session.hash);
  }
}

/** The process keeps hashes only: a memory dump does not contain the cookies. */
function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}

/** Failed attempts of an address before it has to wait. */
const FREE_ATTEMPTS = 5;
const FIRST_WAIT_MS: DurationMs = 10_000;
const LONGEST_WAIT_MS: DurationMs = 15 * 60_000;
/** Failed attempts older than this do not count. */
const FORGET_MS: DurationMs = 60 * 60_000;
const MAX_ADDRESSES = 10_000;
/** An address that tries more names than this guesses the names, too. */
const MAX_NAMES = 20;

interface Attempts {
  failures: number;
  lastAt: MonotonicMs;
  blockedUntil: MonotonicMs;
  /** Failures by the name they were for. */
  readonly failuresByName: Map<string, number>;
}

/**
 * Rate limit of logins against brute force: after five failed attempts an address waits 10 s, then twice as long each time,
 * up to 15 min. Names are not blocked, because then anybody could lock an operator out.
 */
export class LoginRateLimit {
  readonly #clock: Clock;
  readonly #byAddress = new Map<string, Attempts>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns the seconds until the address may try again; 0 when it may try now. */
  waitSeconds(address: string): number {
    const tries = this.#byAddress.get(networkOf(address));
    return tries ? Math.max(0, Math.ceil((tries.blockedUntil - this.#clock.now()) / 1000)) : 0;
  }

  /** Records a failed login for this name. Returns the number of failures of the address. */
  recordFailure(address: string, name: string): number {
    const key = networkOf(address);
    const now = this.#clock.now();
    const known = this.#byAddress.get(key);
    const tries: Attempts =
      known && now - known.lastAt < FORGET_MS
        ? known
        : { failures: 0, lastAt: now, blockedUntil: 0, failuresByName: new Map() };
    tries.failures++;
    tries.lastAt = now;
    if (tries.failuresByName.has(name) || tries.failuresByName.size < MAX_NAMES)
      tries.failuresByName.set(name, (tries.failuresByName.get(name) ?? 0) + 1);
    const over = tries.failures - FREE_ATTEMPTS;
    if (over >= 0) tries.blockedUntil = now + Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(over, 20));
    // Inserted again, so that the map stays in the order of the last failure.
    this.#byAddress.delete(key);
    this.#byAddress.set(key, tries);
    const [oldest] = this.#byAddress.keys();
    if (this.#byAddress.size > MAX_ADDRESSES && oldest !== undefined) this.#byAddress.delete(oldest);
    return tries.failures;
  }

  /** Clears the failures for the same name only: otherwise a user could reset the limit while guessing others' passwords. */
  recordSuccess(address: string, name: string): void {
    const tries = this.#byAddress.get(networkOf(address));
    if (!tries) return;
    tries.failures -= tries.failuresByName.get(name) ?? 0;
    tries.failuresByName.delete(name);
    if (tries.failures === 0) this.#byAddress.delete(networkOf(address));
  }
}

/** The network that an address counts for: an IPv6 host can use its whole /64. */
export function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - front.length - back.length }, () => '0');
  return [...front, ...zeros, ...back].slice(0, 4).join(':');
}
