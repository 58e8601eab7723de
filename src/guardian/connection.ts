import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { type Clock, type DurationMs, withDeadline } from '../clock/clock.ts';
import { DcsError, systemCode } from '../errors/errors.ts';
import { type FromPredecessor, parseFromPredecessor, type ToPredecessor } from './messages.ts';

/** A guardian that is finishing a write answers when that is over. */
const ANSWER_LIMIT_MS: DurationMs = 2000;

/** One guardian: questions, each with one answer, in order. */
export class Connection {
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

  /** The process stays for the answer, and for nothing else. */
  ask(question: ToPredecessor): Promise<FromPredecessor> {
    this.#socket.ref();
    const answer = new Promise<FromPredecessor>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#socket.write(`${JSON.stringify(question)}\n`);
    const late = () => new DcsError('TIMEOUT', `no answer within ${ANSWER_LIMIT_MS} ms`);
    return withDeadline(this.#clock, ANSWER_LIMIT_MS, answer, late).finally(() => {
      if (this.#waiting.length === 0) this.#socket.unref();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #lost(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
