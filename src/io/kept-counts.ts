import { constants } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type Clock, type DurationMs, type Timer, withDeadline } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';
import { DcsError, messageOf, systemCode } from '../errors/errors.ts';

/** A power loss costs at most the counts of this time; a flash card lives with a small write that often. */
export const WRITE_EVERY_MS: DurationMs = 5000;
const CLOSE_LIMIT_MS: DurationMs = 300;

const fileSchema = z.object({ version: z.literal(1), counts: z.record(z.string(), z.number()) });

/** Where the counts of a node are kept in a folder: several agents can share it. */
export function countsFile(folder: string | undefined, node: string): string | undefined {
  return folder === undefined ? undefined : join(folder, `${encodeURIComponent(node)}.counts.json`);
}

/**
 * What counters have counted (raw, by pin name), so that they go on from there when their port comes back and when the
 * agent does. The file is replaced as a whole, so that it is never half of one.
 */
export class KeptCounts {
  readonly #file: string | undefined;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #counts = new Map<string, number>();
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  #changed = false;
  #trouble: string | undefined;

  /** Without a file counts are kept as long as the process lives. */
  constructor(file: string | undefined, life: { clock: Clock; log: Log }) {
    this.#file = file;
    this.#clock = life.clock;
    this.#log = life.log;
  }

  /** Reads the file. Never rejects: counters begin at their start when there is none or it is damaged, which is said. */
  async load(): Promise<void> {
    if (this.#file === undefined) return;
    try {
      const { counts } = fileSchema.parse(JSON.parse(await readFile(this.#file, 'utf8')));
      for (const [pin, count] of Object.entries(counts)) this.#counts.set(pin, count);
    } catch (error) {
      const what = `counters begin anew: ${this.#file} ${systemCode(error) === 'ENOENT' ? 'is not there' : 'is damaged'}`;
      this.#log.warn({ file: this.#file, err: error }, what);
      if (systemCode(error) === undefined) await this.#setAside(this.#file);
    }
  }

  at(pin: string): number | undefined {
    return this.#counts.get(pin);
  }

  note(pin: string, count: number): void {
    if (this.#counts.get(pin) === count) return;
    this.#counts.set(pin, count);
    this.#changed = true;
    this.#writeSoon();
  }

  /** Writes what has not been written. Bounded, never rejects. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    const late = () => new DcsError('TIMEOUT', `${this.#file} was not written within ${CLOSE_LIMIT_MS} ms`);
    try {
      await withDeadline(this.#clock, CLOSE_LIMIT_MS, this.#write(), late);
    } catch (error) {
      this.#log.error({ err: error }, `counts are not kept: ${messageOf(error)}`);
    }
  }

  #writeSoon(): void {
    if (this.#file === undefined) return;
    this.#timer ??= this.#clock.after(WRITE_EVERY_MS, () => {
      this.#timer = undefined;
      void this.#write();
    });
  }

  /** One write after the other; the last one has the last counts. Never rejects. */
  #write(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      if (this.#file === undefined || !this.#changed) return;
      this.#changed = false;
      const text = `${JSON.stringify({ version: 1, counts: Object.fromEntries(this.#counts) })}\n`;
      try {
        await replaceFile(this.#file, text);
        this.#trouble = undefined;
      } catch (error) {
        this.#changed = true;
        const trouble = messageOf(error);
        if (trouble !== this.#trouble) this.#log.error({ err: error }, `counts are not kept: ${trouble}`);
        this.#trouble = trouble;
        this.#writeSoon();
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
