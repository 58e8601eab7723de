import { createHash, randomBytes } from 'node:crypto';
import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';
import type { WebUser } from '../options.ts';

const IDLE_MS: DurationMs = 12 * 3_600_000;
const LONGEST_MS: DurationMs = 7 * 24 * 3_600_000;
const MAX_SESSIONS = 1000;

/** Somebody who has logged in with a browser. */
export interface Session {
  readonly user: WebUser;
  /** Every request that changes something has to name it: another site's page cannot know it. */
  readonly csrf: string;
  /** Hash of the cookie. */
  readonly key: string;
  readonly began: MonotonicMs;
  seen: MonotonicMs;
}

/** The logins of browsers, in memory: a restart of the agent ends them. */
export class Sessions {
  readonly #clock: Clock;
  readonly #sessions = new Map<string, Session>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins a session; returns what the cookie holds. */
  begin(user: WebUser): { readonly secret: string; readonly session: Session } {
    const secret = randomBytes(32).toString('base64url');
    const now = this.#clock.now();
    const key = keyOf(secret);
    const session = { user, csrf: randomBytes(18).toString('base64url'), key, began: now, seen: now };
    this.#sessions.set(key, session);
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > MAX_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
    return { secret, session };
  }

  /** The session of a cookie; it is in use from now on. */
  find(secret: string): Session | undefined {
    const session = this.#sessions.get(keyOf(secret));
    if (!session || !this.isAlive(session)) return undefined;
    session.seen = this.#clock.now();
    return session;
  }

  /** False once it has ended: logged out, idle for 12 h, or a week old. */
  isAlive(session: Session): boolean {
    const now = this.#clock.now();
    const alive =
      this.#sessions.get(session.key) === session && now - session.seen < IDLE_MS && now - session.began < LONGEST_MS;
    if (!alive) this.#sessions.delete(session.key);
    return alive;
  }

  /** It is in use. */
  touch(session: Session): void {
    if (this.isAlive(session)) session.seen = this.#clock.now();
  }

  end(session: Session): void {
    this.#sessions.delete(session.key);
  }
}

/** Only hashes are kept: who reads the memory of the process does not have the cookies. */
function keyOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}
