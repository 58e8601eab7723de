import { closeSync } from 'node:fs';
import type { Log } from '../driver/driver.ts';
import { messageOf } from '../errors/errors.ts';
import { loadPassing, type Passing } from '../guardian/passing.ts';

/**
 * What descriptors go through to the guardian. Where they cannot, which is logged, the guardian takes the hardware itself
 * once this process is gone.
 */
export class Passage {
  readonly #log: Log;
  #passing: Passing | undefined;
  /** This process's end. */
  #end: number | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Before all else. Never rejects. */
  async load(): Promise<void> {
    try {
      this.#passing = await loadPassing();
    } catch (error) {
      this.#log.info({}, messageOf(error));
    }
  }

  /** A new passage. Returns the guardian's end; the caller closes it. */
  open(): number | undefined {
    try {
      const ends = this.#passing?.pair();
      this.#end = ends?.own;
      return ends?.other;
    } catch (error) {
      this.#log.warn({ err: error }, `the guardian cannot be passed hardware: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Returns how many were sent: all or none. */
  send(port: string, descriptors: readonly number[]): number {
    if (!this.#passing || this.#end === undefined || descriptors.length === 0) return 0;
    try {
      this.#passing.send(this.#end, descriptors);
      return descriptors.length;
    } catch (error) {
      this.#log.warn({ port, err: error }, `port ${port} cannot be passed to the guardian: ${messageOf(error)}`);
      return 0;
    }
  }

  close(): void {
    if (this.#end !== undefined) closeSync(this.#end);
    this.#end = undefined;
  }
}
