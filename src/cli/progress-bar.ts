const WIDTH = 24;

/** A bar on the last line of a terminal; nothing anywhere else. */
export class ProgressBar {
  readonly #out: NodeJS.WriteStream;
  #shown = false;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  draw(done: number, total: number, text: string): void {
    if (!this.#out.isTTY) return;
    const full = Math.floor((WIDTH * done) / Math.max(1, total));
    const bar = `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}`;
    const line = `${bar} ${done}/${total} ${text}`.slice(0, (this.#out.columns || 80) - 1);
    this.#out.write(`\r\u001b[K${line}`);
    this.#shown = true;
  }

  /** Gives the line back, for something else to be printed. */
  clear(): void {
    if (this.#shown) this.#out.write('\r\u001b[K');
    this.#shown = false;
  }
}

/** `40 s`, `7 min`. */
export function duration(ms: number): string {
  return ms < 90_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.ceil(ms / 60_000)} min`;
}
