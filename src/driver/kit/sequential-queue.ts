/** Runs pieces of work on one resource one after the other, in the order asked. Work that fails does not stop the next. */
export class SequentialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs the work when all earlier work has ended. Settles as the work does. */
  run<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work, work);
    this.#last = result;
    return result;
  }
}
