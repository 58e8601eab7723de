import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { type Clock, type DurationMs, withDeadline } from '../clock/clock.ts';
import type { HeldDescriptors } from '../driver/contract.ts';
import { DcsError, messageOf, systemCode, toDcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import { type FdPassing, loadFdPassing } from './fd-passing.ts';
import {
  type FromPreviousGuardian,
  type GuardianStatus,
  parseFromPreviousGuardian,
  type ToPreviousGuardian,
} from './messages.ts';
import { guardianSockets, receiverPath } from './takeover-socket.ts';

/** A guardian that is finishing a write answers when that is over. */
const ANSWER_TIMEOUT_MS: DurationMs = 2000;

/** One guardian: questions, each with one answer, in order. */
export class GuardianConnection {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #pending: { resolve(found: FromPreviousGuardian): void; reject(error: Error): void }[] = [];
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
        const found = parseFromPreviousGuardian(line);
        const waiting = this.#pending.shift();
        if (found) waiting?.resolve(found);
        else waiting?.reject(new DcsError('BAD_REPLY', 'it answered something else', { found: line }));
      }
    });
    socket.on('error', (error) => this.#rejectPending(error));
    socket.on('close', () => this.#rejectPending(new DcsError('PORT_DOWN', 'it is gone')));
  }

  /** Undefined: nobody listens there any more; what it left is removed. */
  static open(path: string, clock: Clock): Promise<GuardianConnection | undefined> {
    return new Promise((resolve) => {
      const socket = connect(path);
      socket.once('connect', () => resolve(new GuardianConnection(socket, clock)));
      socket.once('error', (error) => {
        if (systemCode(error) === 'ECONNREFUSED') rmSync(path, { force: true });
        resolve(undefined);
      });
    });
  }

  /** The process stays for the answer, and for nothing else. */
  request(question: ToPreviousGuardian): Promise<FromPreviousGuardian> {
    this.#socket.ref();
    const answer = new Promise<FromPreviousGuardian>((resolve, reject) => this.#pending.push({ resolve, reject }));
    this.#socket.write(`${JSON.stringify(question)}\n`);
    const late = () => new DcsError('TIMEOUT', `no answer within ${ANSWER_TIMEOUT_MS} ms`);
    return withDeadline(this.#clock, ANSWER_TIMEOUT_MS, answer, late).finally(() => {
      if (this.#pending.length === 0) this.#socket.unref();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #rejectPending(error: Error): void {
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }
}

/** Where the descriptors of one answer arrive. */
interface DescriptorReceiver {
  readonly path: string;
  take(count: number): number[];
  close(): void;
}

/** The guardians of this agent's earlier lives that still hold its outputs. */
export class PreviousGuardians {
  /** Ports whose outputs they could not make safe; undefined: one has not said yet. */
  readonly #unsafe: ReadonlySet<string> | undefined;
  readonly #connections: readonly GuardianConnection[];
  readonly #log: Log;
  /** Absent: descriptors cannot be passed on here. */
  readonly #openReceiver: (() => DescriptorReceiver) | undefined;

  private constructor(
    connections: readonly GuardianConnection[],
    unsafe: ReadonlySet<string> | undefined,
    log: Log,
    openBox: (() => DescriptorReceiver) | undefined,
  ) {
    this.#connections = connections;
    this.#unsafe = unsafe;
    this.#log = log;
    this.#openReceiver = openBox;
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
  static async find(folder: string, identity: string | undefined, clock: Clock, log: Log): Promise<PreviousGuardians> {
    const connections: GuardianConnection[] = [];
    const unsafe = new Set<string>();
    let late = false;
    for (const path of guardianSockets(folder, identity)) {
      const connection = await GuardianConnection.open(path, clock);
      if (!connection) continue;
      try {
        const found = await connection.request({ kind: 'back' });
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
    const openBox = connections.length > 0 ? await receiverFactory(folder, identity ?? 'all', log) : undefined;
    return new PreviousGuardians(connections, late ? undefined : unsafe, log, openBox);
  }

  /** Has them let go of a port's hardware; what they could pass on is the caller's. Bounded, never rejects. */
  async release(port: string): Promise<readonly HeldDescriptors[]> {
    const estates = await Promise.all(this.#connections.map((connection) => this.#release(connection, port)));
    return estates.flat();
  }

  /** Everything has been taken over: they end. Bounded, never rejects. */
  async finish(): Promise<void> {
    await Promise.all(
      this.#connections.map((connection) => connection.request({ kind: 'done' }).catch((error) => this.#warn(error))),
    );
    this.abandon();
  }

  /** Whoever has not been told that it is done drives its outputs again. */
  abandon(): void {
    for (const connection of this.#connections) connection.close();
  }

  async #release(connection: GuardianConnection, port: string): Promise<HeldDescriptors[]> {
    const box = this.#receiver();
    try {
      const answer = await connection.request({ kind: 'release', port, ...(box && { to: box.path }) });
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

  #receiver(): DescriptorReceiver | undefined {
    try {
      return this.#openReceiver?.();
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
async function receiverFactory(
  folder: string,
  identity: string,
  log: Log,
): Promise<(() => DescriptorReceiver) | undefined> {
  let passing: FdPassing;
  try {
    passing = await loadFdPassing();
  } catch (error) {
    log.info({}, messageOf(error));
    return undefined;
  }
  let made = 0;
  return () => {
    const path = receiverPath(folder, identity, process.pid, made++);
    const { end, close } = passing.openReceiver(path);
    return { path, take: (count) => passing.receive(end, count), close };
  };
}

/** What the guardians of an agent's lives say of themselves; those that do not answer are left out. Changes nothing. */
export async function queryGuardians(folder: string, identity: string, clock: Clock): Promise<GuardianStatus[]> {
  const seen: GuardianStatus[] = [];
  for (const path of guardianSockets(folder, identity)) {
    const connection = await GuardianConnection.open(path, clock);
    if (!connection) continue;
    try {
      const answer = await connection.request({ kind: 'look' });
      if (answer.kind === 'seen') seen.push(answer);
    } catch {
      // Of another version, or just ending: there is nothing to be told of it.
    } finally {
      connection.close();
    }
  }
  return seen;
}
