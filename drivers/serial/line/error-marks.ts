/** The byte with which the kernel (PARMRK) begins a mark: \377 \0 X for a byte X with an error, \377 \377 for \377. */
const MARK = 0xff;

/** Takes the kernel's marks out of what a line gave, wherever it is split. */
export class ErrorMarks {
  readonly #data: (bytes: Buffer) => void;
  readonly #damaged: (byte: Buffer) => void;
  /** How much of a mark has been seen: none, \377, \377 \0. */
  #state: 0 | 1 | 2 = 0;

  constructor(data: (bytes: Buffer) => void, damaged: (byte: Buffer) => void) {
    this.#data = data;
    this.#damaged = damaged;
  }

  push(bytes: Buffer): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#state !== 0) {
        from = this.#inMark(bytes, from);
        continue;
      }
      const mark = bytes.indexOf(MARK, from);
      if (mark < 0) break;
      if (mark > from) this.#data(bytes.subarray(from, mark));
      this.#state = 1;
      from = mark + 1;
    }
    if (from < bytes.length) this.#data(bytes.subarray(from));
  }

  #inMark(bytes: Buffer, at: number): number {
    const byte = bytes.subarray(at, at + 1);
    if (this.#state === 2) {
      this.#state = 0;
      this.#damaged(byte);
      return at + 1;
    }
    this.#state = byte[0] === 0 ? 2 : 0;
    // A doubled \377 is one; anything else after it cannot be, and is passed on as it came.
    if (byte[0] === MARK) this.#data(byte);
    else if (byte[0] !== 0) this.#data(Buffer.from([MARK, byte[0] ?? 0]));
    return at + 1;
  }
}
