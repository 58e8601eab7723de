import { now, pause, within } from './process.ts';

/** After this long (ms) without a new count all pulses have been reported: a turning meter reports every 500 ms. */
const STILL_MS = 2000;
const LIMIT_MS = 20_000;

/** The reported count of a water meter, beside the pulses that it made. */
export class Meter {
  #count: number | undefined;
  #changed = 0;
  #doubted = Number.NEGATIVE_INFINITY;
  /** Pulses made, and counted, at the end of the last check. */
  #made = 0;
  #base = 0;

  /** Takes a line of output of the controller. */
  take(text: string): void {
    if (!text.startsWith('{')) return;
    const { heard } = JSON.parse(text);
    if (heard?.pin_name !== 'water' || heard.last_change === undefined || typeof heard.val !== 'number') return;
    if (heard.val !== this.#count) this.#changed = now();
    this.#count = heard.val;
    if (heard.quality === 'uncertain') this.#doubted = now();
  }

  /** Sets the number of pulses made; the count at rest is the starting point. */
  async begin(made: number): Promise<void> {
    await pause(600);
    await within(LIMIT_MS, () => this.#count !== undefined && now() - this.#changed > STILL_MS);
    this.#made = made;
    this.#base = this.#count ?? 0;
  }

  /**
   * Checks the count of the resting meter. `whole`: the agent and its chip were there all the time, so every pulse must be
   * counted, or its loss reported.
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
