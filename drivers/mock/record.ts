import { appendFileSync, readFileSync } from 'node:fs';
import { systemCode } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { RawValue } from '../../src/pin/pin.ts';

/**
 * What a simulated device was told, in a file others can watch: one JSON line a write with `key`, `value`, `at` (ms of the
 * system's monotonic clock, the same in every process) and `by` (process id).
 */
export class WriteRecord {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Throws a SystemError when the file cannot be written. */
  write(key: string, value: RawValue): void {
    const at = Number(process.hrtime.bigint()) / 1e6;
    appendFileSync(this.#file, `${JSON.stringify({ key, value, at, by: process.pid })}\n`);
  }

  /** The last value of each key. None when there is no file yet. */
  levels(): Map<string, RawValue> {
    const levels = new Map<string, RawValue>();
    for (const line of this.#lines()) {
      const found: unknown = JSON.parse(line);
      if (!isRecord(found) || typeof found['key'] !== 'string') continue;
      const { key, value } = found;
      if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') levels.set(key, value);
    }
    return levels;
  }

  #lines(): string[] {
    try {
      // A line that was being written when the process was killed is no write.
      return readFileSync(this.#file, 'utf8').split('\n').slice(0, -1);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}
