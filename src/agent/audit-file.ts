import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, type DurationMs, type Timer, withDeadline } from '../clock/clock.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';

/** A file of this size is renamed to `.1`, in place of an older one, and a new one begins. */
export const FILE_BYTES = 8 * 1024 * 1024;
/** Most lines that wait for the disk; further ones are lost and counted. */
export const QUEUE_LIMIT = 2000;
/** Lines of this time are written together, to spare flash cards. */
const WRITE_EVERY_MS: DurationMs = 500;
const RETRY_MS: DurationMs = 1000;
const CLOSE_LIMIT_MS: DurationMs = 300;
const NEWLINE = 10;

export interface AuditStats {
  readonly written: number;
  readonly waiting: number;
  /** Lines that were dropped because the disk was full, read-only or missing for too long. */
  readonly lost: number;
}

/**
 * An append-only file of JSON lines, bounded in size. It never blocks its callers: a full, read-only or dead disk costs lines.
 * Lost lines are counted, and reported in the log and, when the disk works again, in the file itself.
 */
export class AuditFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #fileBytes: number;
  #waiting: string[] = [];
  #handle: FileHandle | undefined;
  #size = 0;
  #written = 0;
  #lost = 0;
  /** Number of lost lines that the file does not report yet. */
  #unreported = 0;
  /** The file ends within a line, because a process was killed while it wrote. */
  #endsMidLine = false;
  #lastError = '';
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  #busy = false;
  #closed = false;

  constructor(path: string, environment: { clock: Clock; log: Log }, fileBytes: number = FILE_BYTES) {
    this.#path = path;
    this.#clock = environment.clock;
    this.#log = environment.log;
    this.#fileBytes = fileBytes;
  }

  get stats(): AuditStats {
    return { written: this.#written, waiting: this.#waiting.length, lost: this.#lost };
  }

  /** Queues a line; it is on the disk soon afterwards. Never throws. */
  add(kind: string, detail: object): void {
    if (this.#closed || this.#waiting.length >= QUEUE_LIMIT) {
      this.#lost++;
      this.#unreported++;
      return;
    }
    this.#waiting.push(line(this.#clock.unix(), kind, detail));
    this.#writeAfter(WRITE_EVERY_MS);
  }

  /** Writes the lines that wait. Bounded, never rejects. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    const late = () => new DcsError('TIMEOUT', `${this.#path} was not written within ${CLOSE_LIMIT_MS} ms`);
    try {
      // Lines that were added during a write still wait.
      const written = this.#busy ? this.#writing.then(() => this.#write()) : this.#write();
      await withDeadline(this.#clock, CLOSE_LIMIT_MS, written, late);
      this.#timer?.cancel();
      await this.#handle?.close();
    } catch (error) {
      this.#log.error({ err: error }, `the audit log is not complete: ${messageOf(error)}`);
    }
    this.#closed = true;
  }

  #writeAfter(delay: DurationMs): void {
    if (this.#timer || this.#busy || this.#closed) return;
    this.#timer = this.#clock.after(delay, () => {
      this.#timer = undefined;
      void this.#write();
    });
  }

  /** Never rejects. */
  #write(): Promise<void> {
    this.#busy = true;
    this.#writing = this.#append().then(
      () => this.#done(WRITE_EVERY_MS),
      (error: unknown) => {
        const trouble = messageOf(error);
        if (trouble !== this.#lastError) this.#log.error({ err: error }, `the audit log cannot be written: ${trouble}`);
        this.#lastError = trouble;
        this.#done(RETRY_MS);
      },
    );
    return this.#writing;
  }

  #done(again: DurationMs): void {
    this.#busy = false;
    if (this.#waiting.length > 0) this.#writeAfter(again);
  }

  async #append(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const handle = this.#handle ?? (await this.#open());
    const lines = this.#waiting.slice();
    const gap = this.#unreported;
    const head = gap > 0 ? line(this.#clock.unix(), 'gap', { lost: gap, why: this.#lastError }) : '';
    const text = Buffer.from(`${this.#endsMidLine ? '\n' : ''}${head}${lines.join('')}`);
    try {
      // Not writeFile: on a full disk it writes a part, and a second attempt would follow that part.
      const { bytesWritten } = await handle.write(text);
      if (bytesWritten < text.length) {
        await handle.truncate(this.#size);
        throw new DcsError('PORT_DOWN', `${this.#path}: the disk is full`);
      }
      await handle.datasync();
    } catch (error) {
      this.#handle = undefined;
      await handle.close();
      throw error;
    }
    this.#endsMidLine = false;
    this.#size += text.length;
    this.#waiting.splice(0, lines.length);
    this.#written += lines.length;
    this.#unreported -= gap;
    if (this.#lastError !== '') this.#log.warn({ lost: this.#lost }, 'the audit log is written again');
    this.#lastError = '';
    if (this.#size >= this.#fileBytes) await this.#rotate(handle);
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.#path), { recursive: true });
    const handle = await open(this.#path, 'a+', 0o640);
    const { size } = await handle.stat();
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
    this.#size = size;
    this.#endsMidLine = size > 0 && buffer[0] !== NEWLINE;
    this.#handle = handle;
    return handle;
  }

  async #rotate(handle: FileHandle): Promise<void> {
    this.#handle = undefined;
    await handle.close();
    await rename(this.#path, `${this.#path}.1`);
  }
}

function line(at: number, kind: string, detail: object): string {
  return `${JSON.stringify({ at, kind, ...detail })}\n`;
}
