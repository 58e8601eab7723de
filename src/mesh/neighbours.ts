import type { Clock, DurationMs, MonotonicMs } from '../clock/clock.ts';

/** How long a v1 process counts as heard after its last message (ms). */
const HEARD_MS: DurationMs = 10_000;
/** How long it is remembered, for people: v1 says neither that it lives nor that it goes (ms). */
const KNOWN_MS: DurationMs = 60_000;
const MAX_NEIGHBOURS = 1024;

/** The v1 processes whose messages come to us without anybody's help; peers need not pass those on to us. */
export class Neighbours {
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #heard = new Map<string, MonotonicMs>();
  readonly #known = new Map<string, MonotonicMs>();

  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** A message came directly from this process. */
  hear(id: string): void {
    if (this.#known.has(id) || this.#known.size < MAX_NEIGHBOURS) this.#known.set(id, this.#clock.now());
    const fresh = !this.#heard.has(id);
    if (fresh && this.#heard.size >= MAX_NEIGHBOURS) return;
    this.#heard.set(id, this.#clock.now());
    if (fresh) this.#changed();
  }

  ids(): readonly string[] {
    return [...this.#heard.keys()];
  }

  /** Those heard within the last minute, with how long ago. */
  known(): { readonly id: string; readonly silentMs: DurationMs }[] {
    const now = this.#clock.now();
    return [...this.#known].map(([id, at]) => ({ id, silentMs: now - at }));
  }

  /** A link has broken: whom we heard over it is not known, so nobody counts until heard again. */
  forget(): void {
    if (this.#heard.size === 0) return;
    this.#heard.clear();
    this.#changed();
  }

  /** Forgets who has been silent. Called now and then. */
  sweep(): void {
    const now = this.#clock.now();
    for (const [id, at] of this.#known) if (now - at > KNOWN_MS) this.#known.delete(id);
    for (const [id, at] of this.#heard) {
      if (now - at <= HEARD_MS) continue;
      this.#heard.delete(id);
      this.#changed();
    }
  }
}
