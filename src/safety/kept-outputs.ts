import { join } from 'node:path';
import { z } from 'zod';
import type { Clock, DurationMs } from '../clock/clock.ts';
import type { Log } from '../driver/contract.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { KeptFile } from './kept-file.ts';
import type { Commander } from './nodes.ts';

/** A power loss may cost the changes of this time. */
export const WRITE_EVERY_MS: DurationMs = 1000;

const value = z.union([z.boolean(), z.number(), z.string()]);
const schema = z.object({
  version: z.literal(1),
  last: z.record(z.string(), value),
  overrides: z.record(z.string(), z.object({ value, until: z.number(), node: z.string(), actor: z.string() })),
});

/** An override as it outlives a restart; `until` is unix seconds. */
export type KeptOverride = Commander & { readonly value: RawValue; readonly until: number };

/** A file of a node's state in a folder that several agents may share. */
export function stateFile(folder: string | undefined, node: string, what: string): string | undefined {
  return folder === undefined ? undefined : join(folder, `${encodeURIComponent(node)}.${what}.json`);
}

/** What outputs were (`initial: last`) and which are overridden, as the user means the values. */
export class KeptOutputs {
  readonly #last = new Map<string, RawValue>();
  readonly #overrides = new Map<string, KeptOverride>();
  readonly #file: KeptFile<z.infer<typeof schema>>;

  constructor(file: string | undefined, life: { clock: Clock; log: Log }) {
    this.#file = new KeptFile(
      {
        file,
        schema,
        what: 'output states',
        without: 'outputs with `initial: last` begin with their safe value, and nothing is overridden',
        everyMs: WRITE_EVERY_MS,
        content: () => ({
          version: 1,
          last: Object.fromEntries(this.#last),
          overrides: Object.fromEntries(this.#overrides),
        }),
      },
      life,
    );
  }

  /** Reads the file. Never rejects. `needed`: that there is none is worth a warning. */
  async load(needed: boolean): Promise<void> {
    const kept = await this.#file.load(needed);
    for (const [pin, last] of Object.entries(kept?.last ?? {})) this.#last.set(pin, last);
    for (const [pin, override] of Object.entries(kept?.overrides ?? {})) this.#overrides.set(pin, override);
  }

  /** What an output starts with. */
  initialOf({ name, initial, safe }: PinSpec): RawValue | undefined {
    return typeof initial === 'object' ? (this.#last.get(name) ?? safe) : initial;
  }

  overrideOf(pin: string): KeptOverride | undefined {
    return this.#overrides.get(pin);
  }

  note({ name, initial }: PinSpec, present: RawValue): void {
    if (typeof initial !== 'object' || this.#last.get(name) === present) return;
    this.#last.set(name, present);
    this.#file.changed();
  }

  /** Keeps an override, or forgets it. Resolves with whether that is on the disk. */
  override(pin: string, override: KeptOverride | undefined): Promise<boolean> {
    if (override) this.#overrides.set(pin, override);
    else this.#overrides.delete(pin);
    return this.#file.save();
  }

  /** Writes what has not been written. Bounded, never rejects. */
  close(): Promise<void> {
    return this.#file.close();
  }
}
