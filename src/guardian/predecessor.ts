import type { Clock } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';
import type { Estate } from '../driver/last-will.ts';
import { messageOf, toDcsError } from '../errors/errors.ts';
import { Connection } from './connection.ts';
import { loadPassing, type Passing } from './passing.ts';
import { boxPath, socketsOf } from './rendezvous.ts';

/** Where the descriptors of one answer arrive. */
interface Box {
  readonly path: string;
  take(count: number): number[];
  close(): void;
}

/** The guardians of this agent's earlier lives that still hold its outputs. */
export class Predecessors {
  /** Ports whose outputs they could not make safe; undefined: one has not said yet. */
  readonly #unsafe: ReadonlySet<string> | undefined;
  readonly #connections: readonly Connection[];
  readonly #log: Log;
  /** Absent: descriptors cannot be passed on here. */
  readonly #openBox: (() => Box) | undefined;

  private constructor(
    connections: readonly Connection[],
    unsafe: ReadonlySet<string> | undefined,
    log: Log,
    openBox: (() => Box) | undefined,
  ) {
    this.#connections = connections;
    this.#unsafe = unsafe;
    this.#log = log;
    this.#openBox = openBox;
  }

  /** The outputs of a port could not be made safe, as far as is known. */
  isUnsafe(port: string): boolean {
    return this.#unsafe === undefined || this.#unsafe.has(port);
  }

  /** How many there are. */
  get count(): number {
    return this.#connections.length;
  }

  /** Finds them and has them drive nothing any more. Without an identity: those of all agents. Bounded, never rejects. */
  static async find(folder: string, identity: string | undefined, clock: Clock, log: Log): Promise<Predecessors> {
    const connections: Connection[] = [];
    const unsafe = new Set<string>();
    let late = false;
    for (const path of socketsOf(folder, identity)) {
      const connection = await Connection.open(path, clock);
      if (!connection) continue;
      try {
        const found = await connection.ask({ kind: 'back' });
        if (found.kind !== 'yours') {
          const who = found.kind === 'busy' ? `process ${found.agent}` : 'another process';
          log.error({ path }, `an agent with this configuration runs already: ${who}`);
          connection.close();
          continue;
        }
        for (const port of found.unsafe) unsafe.add(port);
        connections.push(connection);
        if (found.crashed) {
          const { unsafe: notSafe } = found;
          log.warn({ unsafe: notSafe }, 'the agent was not stopped in good order; its guardian hands the outputs over');
        } else log.info({}, 'the guardian that has held outputs since the stop hands them over');
      } catch (error) {
        log.error({ path, err: error }, `the guardian of an earlier life does not answer: ${messageOf(error)}`);
        // It is at a write; after that it drives nothing for as long as we are there.
        if (toDcsError(error).code === 'TIMEOUT') {
          connections.push(connection);
          late = true;
        } else connection.close();
      }
    }
    const openBox = connections.length > 0 ? await boxMaker(folder, identity ?? 'all', log) : undefined;
    return new Predecessors(connections, late ? undefined : unsafe, log, openBox);
  }

  /** Has them let go of a port's hardware; what they could pass on is the caller's. Bounded, never rejects. */
  async release(port: string): Promise<readonly Estate[]> {
    const estates = await Promise.all(this.#connections.map((connection) => this.#release(connection, port)));
    return estates.flat();
  }

  /** Everything has been taken over: they end. Bounded, never rejects. */
  async done(): Promise<void> {
    await Promise.all(
      this.#connections.map((connection) => connection.ask({ kind: 'done' }).catch((error) => this.#warn(error))),
    );
    this.abandon();
  }

  /** Whoever has not been told that it is done drives its outputs again. */
  abandon(): void {
    for (const connection of this.#connections) connection.close();
  }

  async #release(connection: Connection, port: string): Promise<Estate[]> {
    const box = this.#box();
    try {
      const answer = await connection.ask({ kind: 'release', port, ...(box && { to: box.path }) });
      if (!box || answer.kind !== 'released' || answer.passed === 0) return [];
      return [{ plan: answer.plan, descriptors: box.take(answer.passed) }];
    } catch (error) {
      this.#warn(error);
      return [];
    } finally {
      // What comes later is let go with it.
      box?.close();
    }
  }

  #box(): Box | undefined {
    try {
      return this.#openBox?.();
    } catch (error) {
      this.#warn(error);
      return undefined;
    }
  }

  #warn(error: unknown): void {
    this.#log.warn({ err: error }, `the guardian of an earlier life: ${messageOf(error)}`);
  }
}

/** Undefined: descriptors cannot be passed on here, and what guardians hold is nobody's for a moment. */
async function boxMaker(folder: string, identity: string, log: Log): Promise<(() => Box) | undefined> {
  let passing: Passing;
  try {
    passing = await loadPassing();
  } catch (error) {
    log.info({}, messageOf(error));
    return undefined;
  }
  let made = 0;
  return () => {
    const path = boxPath(folder, identity, process.pid, made++);
    const { end, close } = passing.open(path);
    return { path, take: (count) => passing.receive(end, count), close };
  };
}
