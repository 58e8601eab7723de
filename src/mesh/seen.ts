/**
 * Remembers message ids so that a message is delivered once however many ways it comes. Memory is bounded: ids are kept
 * in two generations, and when the young one is full the old one is forgotten. Exact ids, not 'serials above the last':
 * one forged high serial would silence its creator for ever, and a message overtaken by the next would be lost.
 */
export class SeenIds {
  readonly #generation: number;
  #young = new Map<string, string | undefined>();
  #old = new Map<string, string | undefined>();

  /** `generation`: ids in one generation; at least that many, at most twice as many are remembered. */
  constructor(generation = 32_768) {
    this.#generation = generation;
  }

  /** Notes an id and the node it came from. False: it was there already. */
  add(id: string, from?: string): boolean {
    if (this.#young.has(id) || this.#old.has(id)) return false;
    if (this.#young.size >= this.#generation) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(id, from);
    return true;
  }

  /** The node a message came from, as long as it is remembered: where its answer must go. */
  origin(id: string): string | undefined {
    return this.#young.get(id) ?? this.#old.get(id);
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }
}
