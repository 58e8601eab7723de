import { z } from 'zod';
import type { Clock, DurationMs } from '../clock/clock.ts';
import type { Log } from '../driver/contract.ts';
import { KeptFile } from '../safety/kept-file.ts';

/** A power loss costs at most the counts of this time; a flash card lives with a small write that often. */
export const WRITE_EVERY_MS: DurationMs = 5000;

const schema = z.object({ version: z.literal(1), counts: z.record(z.string(), z.number()) });

/** What counters have counted (raw, by pin name), so that they go on from there when their port or the agent returns. */
export class KeptCounts {
  readonly #counts = new Map<string, number>();
  readonly #file: KeptFile<z.infer<typeof schema>>;

  /** Without a file counts are kept as long as the process lives. */
  constructor(file: string | undefined, life: { clock: Clock; log: Log }) {
    const content = () => ({ version: 1 as const, counts: Object.fromEntries(this.#counts) });
    const keeping = { file, schema, what: 'counts', without: 'counters begin anew', everyMs: WRITE_EVERY_MS, content };
    this.#file = new KeptFile(keeping, life);
  }

  /** Reads the file. Never rejects: counters begin at their start when there is none or it is damaged, which is said. */
  async load(): Promise<void> {
    const kept = await this.#file.load();
    for (const [pin, count] of Object.entries(kept?.counts ?? {})) this.#counts.set(pin, count);
  }

  at(pin: string): number | undefined {
    return this.#counts.get(pin);
  }

  note(pin: string, count: number): void {
    if (this.#counts.get(pin) === count) return;
    this.#counts.set(pin, count);
    this.#file.changed();
  }

  /** Writes what has not been written. Bounded, never rejects. */
  close(): Promise<void> {
    return this.#file.close();
  }
}
