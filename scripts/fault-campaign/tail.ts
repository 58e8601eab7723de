import { closeSync, existsSync, openSync, readSync } from 'node:fs';

/** Follows a growing file of lines, which may not exist yet. */
export class Tail {
  readonly #file: string;
  #offset = 0;
  #rest = '';

  constructor(file: string) {
    this.#file = file;
  }

  /** The new lines since the last call. */
  read(): string[] {
    if (!existsSync(this.#file)) return [];
    const fd = openSync(this.#file, 'r');
    const bytes = Buffer.alloc(65_536);
    for (let got = 1; got > 0; ) {
      got = readSync(fd, bytes, 0, bytes.length, this.#offset);
      this.#offset += got;
      this.#rest += bytes.toString('latin1', 0, got);
    }
    closeSync(fd);
    const lines = this.#rest.split('\n');
    this.#rest = lines.pop() ?? '';
    return lines;
  }
}
