import { now, pause, within } from './process.ts';

/** So long without a new count, and the meter has been read to its end (ms): it reports every 500 ms while it turns. */
const STILL_MS = 2000;
const LIMIT_MS = 20_000;

/** What a water meter has been reported to count, beside what it has turned. */
export class Meter {
  #count: number | undefined;
  #changed = 0;
  #doubted = Number.NEGATIVE_INFINITY;
  /** Pulses made, and counted, when the last judgement was over. */
  #made = 0;
  #base = 0;

  /** A line of the controller. */
  take(text: string): void {
    if (!text.startsWith('{')) return;
    const { heard } = JSON.parse(text);
    if (heard?.pin_name !== 'water' || heard.last_change === undefined || typeof heard.val !== 'number') return;
    if (heard.val !== this.#count) this.#changed = now();
    this.#count = heard.val;
    if (heard.quality === 'uncertain') this.#doubted = now();
  }

  /** So many pulses have been made; what is counted when it rests is the beginning. */
  async begin(made: number): Promise<void> {
    await pause(600);
    await within(LIMIT_MS, () => this.#count !== undefined && now() - this.#changed > STILL_MS);
    this.#made = made;
    this.#base = this.#count ?? 0;
  }

  /**
   * What is wrong with the count, now that the meter rests at so many pulses. `whole`: the agent and its chip were there all
   * the time, so that every pulse must have been counted, or its loss told since.
   */
  async judge(made: number, since: number, whole: boolean): Promise<string | undefined> {
    const expected = this.#base + made - this.#made;
    const exact = whole && (await within(LIMIT_MS, () => this.#count === expected));
    if (!exact) await this.begin(made);
    this.#made = made;
    this.#base = this.#count ?? 0;
    if (this.#base > expected) return `${this.#base - expected} edges were counted that never were`;
    if (!exact && whole && this.#doubted < since) return `${expected - this.#base} edges were lost, and nobody said so`;
    return undefined;
  }
}
