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

/** A guardian answers only after a write to the hardware that is under way. */
const ANSWER_TIMEOUT_MS: DurationMs = 2000;

/** A connection to one guardian: requests, each with one answer, in order. */
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
        else waiting?.reject(new DcsError('BAD_REPLY', 'the guardian sent another answer', { found: line }));
      }
    });
    socket.on('error', (error) => this.#rejectPending(error));
    socket.on('close', () => this.#rejectPending(new DcsError('PORT_DOWN', 'the guardian has ended')));
  }

  /** Resolves with `undefined` when no guardian listens there any more; its socket is then removed. */
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

  /** Keeps the process alive until the answer. Rejects with TIMEOUT, BAD_REPLY or PORT_DOWN. */
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

/** A socket at which the descriptors of one answer arrive. */
interface DescriptorReceiver {
  readonly path: string;
  take(count: number): number[];
  close(): void;
}

/** The guardians of earlier runs of this agent that still hold its outputs. */
export class PreviousGuardians {
  /** Ports whose outputs they could not make safe; `undefined` when one of them has not answered yet. */
  readonly #unsafe: ReadonlySet<string> | undefined;
  readonly #connections: readonly GuardianConnection[];
  readonly #log: Log;
  /** `undefined` where descriptors cannot be passed between processes. */
  readonly #openReceiver: (() => DescriptorReceiver) | undefined;

  private constructor(
    connections: readonly GuardianConnection[],
    unsafe: ReadonlySet<string> | undefined,
    log: Log,
    openReceiver: (() => DescriptorReceiver) | undefined,
  ) {
    this.#connections = connections;
    this.#unsafe = unsafe;
    this.#log = log;
    this.#openReceiver = openReceiver;
  }

  /** The outputs of a port are not in their safe state, or it is unknown whether they are. */
  isUnsafe(port: string): boolean {
    return this.#unsafe === undefined || this.#unsafe.has(port);
  }

  /** Their number. */
  get count(): number {
    return this.#connections.length;
  }

  /**
   * Asks the guardians of earlier runs to drive nothing any more; those of all agents without an identity. Bounded, never
   * rejects.
   */
  static async find(folder: string, identity: string | undefined, clock: Clock, log: Log): Promise<PreviousGuardians> {
    const connections: GuardianConnection[] = [];
    const unsafe = new Set<string>();
    let late = false;
    for (const path of guardianSockets(folder, identity)) {
      const connection = await GuardianConnection.open(path, clock);
      const found = connection && (await askToHandOver(connection, path, log));
      if (!found) {
        connection?.close();
        continue;
      }
      connections.push(connection);
      if (found === 'late') late = true;
      else for (const port of found.unsafe) unsafe.add(port);
    }
    const openReceiver = connections.length > 0 ? await receiverFactory(folder, identity ?? 'all', log) : undefined;
    return new PreviousGuardians(connections, late ? undefined : unsafe, log, openReceiver);
  }

  /** Asks them to release the hardware of a port. Resolves with the descriptors they pass on, which the caller owns. Bounded, never rejects. */
  async release(port: string): Promise<readonly HeldDescriptors[]> {
    const held = await Promise.all(this.#connections.map((connection) => this.#release(connection, port)));
    return held.flat();
  }

  /** Tells them that everything has been taken over: they end. Bounded, never rejects. */
  async finish(): Promise<void> {
    await Promise.all(
      this.#connections.map((connection) => connection.request({ kind: 'done' }).catch((error) => this.#warn(error))),
    );
    this.abandon();
  }

  /** Closes the connections. A guardian that was not told to finish drives its outputs again. */
  abandon(): void {
    for (const connection of this.#connections) connection.close();
  }

  async #release(connection: GuardianConnection, port: string): Promise<HeldDescriptors[]> {
    const receiver = this.#openReceiverOrWarn();
    try {
      const answer = await connection.request({ kind: 'release', port, ...(receiver && { to: receiver.path }) });
      if (!receiver || answer.kind !== 'released' || answer.passed === 0) return [];
      return [{ plan: answer.plan, descriptors: receiver.take(answer.passed) }];
    } catch (error) {
      this.#warn(error);
      return [];
    } finally {
      // Descriptors that arrive later are closed with it.
      receiver?.close();
    }
  }

  #openReceiverOrWarn(): DescriptorReceiver | undefined {
    try {
      return this.#openReceiver?.();
    } catch (error) {
      this.#warn(error);
      return undefined;
    }
  }

  #warn(error: unknown): void {
    this.#log.warn({ err: error }, `the guardian of an earlier run: ${messageOf(error)}`);
  }
}

/** Hands over with `yours`; `late` when it does not answer in time; `undefined` when it does not hand over. Logs which. */
async function askToHandOver(
  connection: GuardianConnection,
  path: string,
  log: Log,
): Promise<Extract<FromPreviousGuardian, { kind: 'yours' }> | 'late' | undefined> {
  try {
    const found = await connection.request({ kind: 'back' });
    if (found.kind !== 'yours') {
      const other = found.kind === 'busy' ? `process ${found.agent}` : 'another process';
      log.error({ path }, `an agent with this configuration runs already: ${other}`);
      return undefined;
    }
    const { unsafe } = found;
    if (found.crashed) log.warn({ unsafe }, 'the agent crashed or was killed; its guardian hands the outputs over');
    else log.info({}, 'the guardian that has held outputs since the stop hands them over');
    return found;
  } catch (error) {
    log.error({ path, err: error }, `the guardian of an earlier run does not answer: ${messageOf(error)}`);
    // A write to the hardware keeps it busy; after that it drives nothing while the connection lasts.
    return toDcsError(error).code === 'TIMEOUT' ? 'late' : undefined;
  }
}

/** `undefined` where descriptors cannot be passed: hardware that guardians hold is then released for a moment. */
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

/** The status of the guardians of all runs of an agent, without those that do not answer. Changes nothing. */
export async function queryGuardians(folder: string, identity: string, clock: Clock): Promise<GuardianStatus[]> {
  const found: GuardianStatus[] = [];
  for (const path of guardianSockets(folder, identity)) {
    const connection = await GuardianConnection.open(path, clock);
    if (!connection) continue;
    try {
      const answer = await connection.request({ kind: 'look' });
      if (answer.kind === 'seen') found.push(answer);
    } catch {
      // It is of another version, or just ending.
    } finally {
      connection.close();
    }
  }
  return found;
}
