/**
 * What is done to one thing of the hardware, one after the other in the order asked. Work that fails keeps nobody from his
 * turn: whoever asked for it, and he alone, is told.
 */
export class SequentialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Does the work when all that was asked for before has ended; settles as the work does. */
  run<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(work, work);
    this.#last = turn;
    return turn;
  }
}
