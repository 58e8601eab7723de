import { constants } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { type Clock, type DurationMs, type Timer, withDeadline } from '../clock/clock.ts';
import type { Log } from '../driver/contract.ts';
import { DcsError, messageOf, systemCode } from '../errors/errors.ts';

const CLOSE_LIMIT_MS: DurationMs = 300;

/** What a file is to keep. */
export interface Keeping<Content> {
  /** Absent: it is kept as long as the process lives. */
  readonly file: string | undefined;
  readonly schema: z.ZodType<Content>;
  /** What it holds, for people: `counts`. */
  readonly what: string;
  /** What a missing or damaged file means, for people: `counters begin anew`. */
  readonly without: string;
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
  readonly #keeping: Keeping<Content>;
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;
  /** With whether it is on the disk. */
  #writing: Promise<boolean> = Promise.resolve(false);
  #changed = false;
  #trouble: string | undefined;

  constructor(keeping: Keeping<Content>, life: { readonly clock: Clock; readonly log: Log }) {
    this.#keeping = keeping;
    this.#clock = life.clock;
    this.#log = life.log;
  }

  /**
   * What the file holds. Never rejects: undefined, and a warning, when it is damaged, or when it is missing and `needed`.
   */
  async load(needed = true): Promise<Content | undefined> {
    const { file, schema, without } = this.#keeping;
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
    if (this.#keeping.file === undefined) return;
    this.#timer ??= this.#clock.after(this.#keeping.everyMs, () => {
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
    const { file, what } = this.#keeping;
    const late = () => new DcsError('TIMEOUT', `${file} was not written within ${CLOSE_LIMIT_MS} ms`);
    try {
      await withDeadline(this.#clock, CLOSE_LIMIT_MS, this.#write(), late);
    } catch (error) {
      this.#log.error({ err: error }, `${what} are not kept: ${messageOf(error)}`);
    }
  }

  /** One write after the other; the last one has the last content. Never rejects. */
  #write(): Promise<boolean> {
    const { file, what, content } = this.#keeping;
    this.#writing = this.#writing.then(async (before) => {
      // A write that began after the change has written it.
      if (file === undefined || !this.#changed) return file !== undefined && before;
      this.#changed = false;
      try {
        await replaceFile(file, `${JSON.stringify(content())}\n`);
        this.#trouble = undefined;
        return true;
      } catch (error) {
        const trouble = messageOf(error);
        if (trouble !== this.#trouble) this.#log.error({ err: error }, `${what} are not kept: ${trouble}`);
        this.#trouble = trouble;
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
  await syncing(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, text);
  await rename(fresh, file);
  await syncing(folder, constants.O_RDONLY);
}

async function syncing(path: string, flags: number, text?: string): Promise<void> {
  const handle = await open(path, flags, 0o644);
  try {
    if (text !== undefined) await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
