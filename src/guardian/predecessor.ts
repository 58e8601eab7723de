import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { type Clock, type DurationMs, withDeadline } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';
import { DcsError, messageOf, systemCode } from '../errors/errors.ts';
import { type FromPredecessor, parseFromPredecessor, type ToPredecessor } from './messages.ts';
import { socketsOf } from './rendezvous.ts';

/** A guardian that is finishing a write answers when that is over. */
const ANSWER_LIMIT_MS: DurationMs = 2000;

/** The guardians of this agent's earlier lives that still hold its outputs. */
export class Predecessors {
  /** Ports whose outputs they could not make safe. */
  readonly unsafe: ReadonlySet<string>;
  readonly #connections: readonly Connection[];
  readonly #log: Log;

  private constructor(connections: readonly Connection[], unsafe: ReadonlySet<string>, log: Log) {
    this.#connections = connections;
    this.unsafe = unsafe;
    this.#log = log;
  }

  /** Finds them and has them drive nothing any more. Bounded, never rejects. */
  static async find(folder: string, identity: string, clock: Clock, log: Log): Promise<Predecessors> {
    const connections: Connection[] = [];
    const unsafe = new Set<string>();
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
        log.warn(
          { unsafe: found.unsafe },
          'the agent was not stopped in good order; its guardian hands the outputs over',
        );
      } catch (error) {
        log.error({ path, err: error }, `the guardian of an earlier life does not answer: ${messageOf(error)}`);
        connection.close();
      }
    }
    return new Predecessors(connections, unsafe, log);
  }

  /** Has them let go of a port's hardware. Bounded, never rejects. */
  async release(port: string): Promise<void> {
    await this.#askAll({ kind: 'release', port });
  }

  /** Everything has been taken over: they end. Bounded, never rejects. */
  async done(): Promise<void> {
    await this.#askAll({ kind: 'done' });
    this.abandon();
  }

  /** Whoever has not been told that it is done drives its outputs again. */
  abandon(): void {
    for (const connection of this.#connections) connection.close();
  }

  async #askAll(question: ToPredecessor): Promise<void> {
    await Promise.all(
      this.#connections.map(async (connection) => {
        try {
          await connection.ask(question);
        } catch (error) {
          this.#log.warn({ err: error }, `the guardian of an earlier life: ${messageOf(error)}`);
        }
      }),
    );
  }
}

/** One guardian: questions, each with one answer, in order. */
class Connection {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #waiting: { resolve(found: FromPredecessor): void; reject(error: Error): void }[] = [];
  #rest = '';

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.unref();
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) {
        const found = parseFromPredecessor(line);
        const waiting = this.#waiting.shift();
        if (found) waiting?.resolve(found);
        else waiting?.reject(new DcsError('BAD_REPLY', 'it answered something else', { found: line }));
      }
    });
    socket.on('error', (error) => this.#lost(error));
    socket.on('close', () => this.#lost(new DcsError('PORT_DOWN', 'it is gone')));
  }

  /** Undefined: nobody listens there any more; what it left is removed. */
  static open(path: string, clock: Clock): Promise<Connection | undefined> {
    return new Promise((resolve) => {
      const socket = connect(path);
      socket.once('connect', () => resolve(new Connection(socket, clock)));
      socket.once('error', (error) => {
        if (systemCode(error) === 'ECONNREFUSED') rmSync(path, { force: true });
        resolve(undefined);
      });
    });
  }

  ask(question: ToPredecessor): Promise<FromPredecessor> {
    const answer = new Promise<FromPredecessor>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#socket.write(`${JSON.stringify(question)}\n`);
    const late = () => new DcsError('TIMEOUT', `no answer within ${ANSWER_LIMIT_MS} ms`);
    return withDeadline(this.#clock, ANSWER_LIMIT_MS, answer, late);
  }

  close(): void {
    this.#socket.destroy();
  }

  #lost(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
