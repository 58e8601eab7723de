import { constants } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type Clock, type DurationMs, type Timer, withDeadline } from '../clock/clock.ts';
import { DcsError, messageOf, systemCode } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import type { CommandSource } from './nodes.ts';

const CLOSE_LIMIT_MS: DurationMs = 300;

/** What a file is to keep. */
export interface KeptFileOptions<Content> {
  /** Absent: it is kept as long as the process lives. */
  readonly file: string | undefined;
  readonly schema: z.ZodType<Content>;
  /** What it holds, for people: `counts`. */
  readonly contentName: string;
  /** What a missing or damaged file means, for people: `counters begin anew`. */
  readonly whenMissing: string;
  /** It is written at most this often (ms), which is also what a power loss costs. */
  readonly everyMs: DurationMs;
  /** What is to be written now. */
  content(): Content;
}

/**
 * A small file for what outlives a restart. It is replaced as a whole (written, synced, renamed), so that it is never half
 * of one. Trouble with it is logged and never stops anybody.
 */
export class KeptFile<Content> {
  readonly #options: KeptFileOptions<Content>;
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;
  /** With whether it is on the disk. */
  #writing: Promise<boolean> = Promise.resolve(false);
  #changed = false;
  #lastError: string | undefined;

  constructor(keeping: KeptFileOptions<Content>, life: { readonly clock: Clock; readonly log: Log }) {
    this.#options = keeping;
    this.#clock = life.clock;
    this.#log = life.log;
  }

  /**
   * What the file holds. Never rejects: undefined, and a warning, when it is damaged, or when it is missing and `needed`.
   */
  async load(needed = true): Promise<Content | undefined> {
    const { file, schema, whenMissing: without } = this.#options;
    if (file === undefined) return undefined;
    try {
      return schema.parse(JSON.parse(await readFile(file, 'utf8')));
    } catch (error) {
      const missing = systemCode(error) === 'ENOENT';
      if (missing && !needed) return undefined;
      const found = missing ? 'is not there' : 'is damaged';
      this.#log.warn({ file, err: error }, `${without}: ${file} ${found}`);
      if (systemCode(error) === undefined) await this.#setAside(file);
      return undefined;
    }
  }

  /** There is something new to write, within `everyMs`. */
  changed(): void {
    this.#changed = true;
    if (this.#options.file === undefined) return;
    this.#timer ??= this.#clock.after(this.#options.everyMs, () => {
      this.#timer = undefined;
      void this.#write();
    });
  }

  /** Writes now. Resolves with whether it is on the disk; never rejects. */
  async save(): Promise<boolean> {
    this.#changed = true;
    return this.#write();
  }

  /** Writes what has not been written. Bounded, never rejects. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    const { file, contentName: what } = this.#options;
    const late = () => new DcsError('TIMEOUT', `${file} was not written within ${CLOSE_LIMIT_MS} ms`);
    try {
      await withDeadline(this.#clock, CLOSE_LIMIT_MS, this.#write(), late);
    } catch (error) {
      this.#log.error({ err: error }, `${what} are not kept: ${messageOf(error)}`);
    }
  }

  /** One write after the other; the last one has the last content. Never rejects. */
  #write(): Promise<boolean> {
    const { file, contentName: what, content } = this.#options;
    this.#writing = this.#writing.then(async (before) => {
      // A write that began after the change has written it.
      if (file === undefined || !this.#changed) return file !== undefined && before;
      this.#changed = false;
      try {
        await replaceFile(file, `${JSON.stringify(content())}\n`);
        this.#lastError = undefined;
        return true;
      } catch (error) {
        const trouble = messageOf(error);
        if (trouble !== this.#lastError) this.#log.error({ err: error }, `${what} are not kept: ${trouble}`);
        this.#lastError = trouble;
        this.changed();
        return false;
      }
    });
    return this.#writing;
  }

  /** A damaged file is left for people to look at. */
  async #setAside(file: string): Promise<void> {
    try {
      await rename(file, `${file}.damaged`);
    } catch (error) {
      this.#log.warn({ err: error }, `${file} stays where it is: ${messageOf(error)}`);
    }
  }
}

/** Whatever happens meanwhile, the file then is the old one or the new one, and on the disk. */
async function replaceFile(file: string, text: string): Promise<void> {
  const folder = dirname(file);
  await mkdir(folder, { recursive: true });
  const fresh = `${file}.new`;
  await openAndSync(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, text);
  await rename(fresh, file);
  await openAndSync(folder, constants.O_RDONLY);
}

async function openAndSync(path: string, flags: number, text?: string): Promise<void> {
  const handle = await open(path, flags, 0o644);
  try {
    if (text !== undefined) await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A power loss may cost the changes of this time. */
export const OUTPUTS_WRITE_MS: DurationMs = 1000;

const valueSchema = z.union([z.boolean(), z.number(), z.string()]);
const outputsSchema = z.object({
  version: z.literal(1),
  last: z.record(z.string(), valueSchema),
  overrides: z.record(
    z.string(),
    z.object({ value: valueSchema, until: z.number(), node: z.string(), actor: z.string() }),
  ),
});

/** An override as it outlives a restart; `until` is unix seconds. */
export type KeptOverride = CommandSource & { readonly value: RawValue; readonly until: number };

/** A file of a node's state in a folder that several agents may share. */
export function stateFile(folder: string | undefined, node: string, what: string): string | undefined {
  return folder === undefined ? undefined : join(folder, `${encodeURIComponent(node)}.${what}.json`);
}

/** What outputs were (`initial: last`) and which are overridden, as the user means the values. */
export class KeptOutputs {
  readonly #last = new Map<string, RawValue>();
  readonly #overrides = new Map<string, KeptOverride>();
  readonly #file: KeptFile<z.infer<typeof outputsSchema>>;

  constructor(file: string | undefined, life: { clock: Clock; log: Log }) {
    this.#file = new KeptFile(
      {
        file,
        schema: outputsSchema,
        contentName: 'output states',
        whenMissing: 'outputs with `initial: last` begin with their safe value, and nothing is overridden',
        everyMs: OUTPUTS_WRITE_MS,
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
    for (const [pin, saveOverride] of Object.entries(kept?.overrides ?? {})) this.#overrides.set(pin, saveOverride);
  }

  /** What an output starts with. */
  initialOf({ name, initial, safe }: PinSpec): RawValue | undefined {
    return typeof initial === 'object' ? (this.#last.get(name) ?? safe) : initial;
  }

  overrideOf(pin: string): KeptOverride | undefined {
    return this.#overrides.get(pin);
  }

  setLast({ name, initial }: PinSpec, present: RawValue): void {
    if (typeof initial !== 'object' || this.#last.get(name) === present) return;
    this.#last.set(name, present);
    this.#file.changed();
  }

  /** Keeps an override, or forgets it. Resolves with whether that is on the disk. */
  saveOverride(pin: string, override: KeptOverride | undefined): Promise<boolean> {
    if (override) this.#overrides.set(pin, override);
    else this.#overrides.delete(pin);
    return this.#file.save();
  }

  /** Writes what has not been written. Bounded, never rejects. */
  close(): Promise<void> {
    return this.#file.close();
  }
}

/** A power loss costs at most the counts of this time; a flash card lives with a small write that often. */
export const COUNTS_WRITE_MS: DurationMs = 5000;

const countsSchema = z.object({ version: z.literal(1), counts: z.record(z.string(), z.number()) });

/** What counters have counted (raw, by pin name), so that they go on from there when their port or the agent returns. */
export class KeptCounts {
  readonly #counts = new Map<string, number>();
  readonly #file: KeptFile<z.infer<typeof countsSchema>>;

  /** Without a file counts are kept as long as the process lives. */
  constructor(file: string | undefined, life: { clock: Clock; log: Log }) {
    const content = () => ({ version: 1 as const, counts: Object.fromEntries(this.#counts) });
    const keeping = {
      file,
      schema: countsSchema,
      contentName: 'counts',
      whenMissing: 'counters begin anew',
      everyMs: COUNTS_WRITE_MS,
      content,
    };
    this.#file = new KeptFile(keeping, life);
  }

  /** Reads the file. Never rejects: counters begin at their start when there is none or it is damaged, which is said. */
  async load(): Promise<void> {
    const kept = await this.#file.load();
    for (const [pin, count] of Object.entries(kept?.counts ?? {})) this.#counts.set(pin, count);
  }

  get(pin: string): number | undefined {
    return this.#counts.get(pin);
  }

  set(pin: string, count: number): void {
    if (this.#counts.get(pin) === count) return;
    this.#counts.set(pin, count);
    this.#file.changed();
  }

  /** Writes what has not been written. Bounded, never rejects. */
  close(): Promise<void> {
    return this.#file.close();
  }
}
