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

/** Options of a KeptFile. */
export interface KeptFileOptions<Content> {
  /** Path. With `undefined` the content lives as long as the process. */
  readonly file: string | undefined;
  readonly schema: z.ZodType<Content>;
  /** Name of the content, for people: `counts`. */
  readonly contentName: string;
  /** The consequence of a missing or damaged file, for people: `counters begin anew`. */
  readonly whenMissing: string;
  /** Shortest time between two writes (ms). A power loss costs at most the changes of this time. */
  readonly everyMs: DurationMs;
  /** Returns the content to write. */
  content(): Content;
}

/**
 * A small file for state that outlives a restart. It is replaced as a whole (written, synced, renamed), so that it is never
 * partly written. Failures are logged and stop nothing.
 */
export class KeptFile<Content> {
  readonly #options: KeptFileOptions<Content>;
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;
  /** The last write; resolves with whether the content is on the disk. */
  #writing: Promise<boolean> = Promise.resolve(false);
  #changed = false;
  #lastError: string | undefined;

  constructor(options: KeptFileOptions<Content>, environment: { readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
    this.#clock = environment.clock;
    this.#log = environment.log;
  }

  /**
   * Reads the file. Never rejects. Resolves with `undefined` when it is missing or damaged; logs a warning unless it is
   * missing and not `needed`.
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

  /** Writes the changed content within `everyMs`. */
  changed(): void {
    this.#changed = true;
    if (this.#options.file === undefined) return;
    this.#timer ??= this.#clock.after(this.#options.everyMs, () => {
      this.#timer = undefined;
      void this.#write();
    });
  }

  /** Writes now. Resolves with whether the content is on the disk. Never rejects. */
  async save(): Promise<boolean> {
    this.#changed = true;
    return this.#write();
  }

  /** Writes pending changes. Bounded in time; never rejects. */
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

  /** Runs one write after the other; the last one has the last content. Never rejects. */
  #write(): Promise<boolean> {
    const { file, contentName: what, content } = this.#options;
    this.#writing = this.#writing.then(async (before) => {
      // An earlier write that began after the change has written it.
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

  /** Renames a damaged file, so that people can look at it. */
  async #setAside(file: string): Promise<void> {
    try {
      await rename(file, `${file}.damaged`);
    } catch (error) {
      this.#log.warn({ err: error }, `${file} stays where it is: ${messageOf(error)}`);
    }
  }
}

/** Replaces a file atomically: after a crash it is the old one or the new one, and on the disk. */
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

/** A power loss costs at most the changes of this time. */
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

/** An override in the file; `until` is unix seconds. */
export type KeptOverride = CommandSource & { readonly value: RawValue; readonly until: number };

/** Returns the path of a node's state file in a folder that several agents may share. */
export function stateFile(folder: string | undefined, node: string, what: string): string | undefined {
  return folder === undefined ? undefined : join(folder, `${encodeURIComponent(node)}.${what}.json`);
}

/** Last values of outputs (`initial: last`) and overrides, in the user's units. */
export class KeptOutputs {
  readonly #last = new Map<string, RawValue>();
  readonly #overrides = new Map<string, KeptOverride>();
  readonly #file: KeptFile<z.infer<typeof outputsSchema>>;

  constructor(file: string | undefined, environment: { clock: Clock; log: Log }) {
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
      environment,
    );
  }

  /** Reads the file. Never rejects. `needed`: a missing file is worth a warning. */
  async load(needed: boolean): Promise<void> {
    const kept = await this.#file.load(needed);
    for (const [pin, last] of Object.entries(kept?.last ?? {})) this.#last.set(pin, last);
    for (const [pin, saveOverride] of Object.entries(kept?.overrides ?? {})) this.#overrides.set(pin, saveOverride);
  }

  /** Returns the start value of an output. */
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

  /** Saves an override, or removes it when `undefined`. Resolves with whether that is on the disk. */
  saveOverride(pin: string, override: KeptOverride | undefined): Promise<boolean> {
    if (override) this.#overrides.set(pin, override);
    else this.#overrides.delete(pin);
    return this.#file.save();
  }

  /** Writes pending changes. Bounded in time; never rejects. */
  close(): Promise<void> {
    return this.#file.close();
  }
}

/** A power loss costs at most the counts of this time. A flash card survives a small write that often. */
export const COUNTS_WRITE_MS: DurationMs = 5000;

const countsSchema = z.object({ version: z.literal(1), counts: z.record(z.string(), z.number()) });

/** Raw counts by pin name. Counters continue from them when their port or the agent restarts. */
export class KeptCounts {
  readonly #counts = new Map<string, number>();
  readonly #file: KeptFile<z.infer<typeof countsSchema>>;

  /** Without a file the counts live as long as the process. */
  constructor(file: string | undefined, environment: { clock: Clock; log: Log }) {
    const content = () => ({ version: 1 as const, counts: Object.fromEntries(this.#counts) });
    const options = {
      file,
      schema: countsSchema,
      contentName: 'counts',
      whenMissing: 'counters begin anew',
      everyMs: COUNTS_WRITE_MS,
      content,
    };
    this.#file = new KeptFile(options, environment);
  }

  /** Reads the file. Never rejects: without one the counters begin anew, and a warning is logged. */
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

  /** Writes pending changes. Bounded in time; never rejects. */
  close(): Promise<void> {
    return this.#file.close();
  }
}
