import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { DcsError } from '../errors/errors.ts';
import { loadFdPassing } from './fd-passing.ts';
import type { Guard } from './guard.ts';
import {
  type FromPreviousGuardian,
  type GuardianStatus,
  parseToPreviousGuardian,
  type ToPreviousGuardian,
} from './messages.ts';

/** The folder with the sockets of this user's guardians. Nobody else may enter it; in memory (tmpfs) where there is such a folder. */
export function socketFolder(env: NodeJS.ProcessEnv = process.env): string {
  const uid = ownUid();
  const [own] = (env['RUNTIME_DIRECTORY'] ?? '').split(':');
  if (own) return own;
  if (uid === 0) return '/run/dcs-io';
  return env['XDG_RUNTIME_DIR'] ? join(env['XDG_RUNTIME_DIR'], 'dcs-io') : join(tmpdir(), `dcs-io-${uid}`);
}

/** Not the user's name: in a container the number may have none. */
function ownUid(): number {
  return process.getuid?.() ?? 0;
}

/** Makes a folder for this user alone. Throws a DcsError when it belongs to another user, Node's error otherwise. */
export function makePrivateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = lstatSync(folder);
  if (uid !== ownUid()) {
    throw new DcsError('NO_PERMISSION', `${folder} belongs to another user`, {
      found: uid,
      expected: `a folder of user ${ownUid()}`,
    });
  }
  if ((mode & 0o022) !== 0) chmodSync(folder, 0o700);
}

/** Processes with the same configuration file and node name are runs of one agent. */
export function agentIdentity(configFile: string, node: string): string {
  return createHash('sha256')
    .update(`${resolve(configFile)}\0${node}`)
    .digest('hex')
    .slice(0, 16);
}

/** The socket of the guardian of one run; `agent` is the process id of that run. */
export function socketPath(folder: string, identity: string, agent: number): string {
  return join(folder, `${identity}.${agent}.guard`);
}

/** The socket at which an agent receives the descriptors of a guardian. */
export function receiverPath(folder: string, identity: string, agent: number, serial: number): string {
  return join(folder, `${identity}.${agent}.${serial}.take`);
}

/** The sockets of the guardians of all runs, also of those that have ended; of all agents without an identity. */
export function guardianSockets(folder: string, identity?: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.guard') && (identity === undefined || name.startsWith(`${identity}.`)))
      .map((name) => join(folder, name));
  } catch {
    // Without the folder there has been no guardian yet.
    return [];
  }
}

/** Most bytes of a line; the longest one contains the name of a port. */
const LINE_LIMIT = 4096;

type Release = Extract<ToPreviousGuardian, { kind: 'release' }>;

/** Lets the agent of the next run take over from this guardian. Resolves once it listens; rejects when it cannot. */
export function listenForNextAgent(path: string, guard: Guard, agent: number): Promise<{ close(): void }> {
  const server = createServer((socket) => new NextAgent(socket, guard, agent).serve());
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    makePrivateFolder(dirname(path));
    // A socket that is there belonged to an ended process with the same process id.
    rmSync(path, { force: true });
    server.listen(path, () => resolve({ close: () => void server.close() }));
  });
}

/** The connection of an agent that takes over, or only asks for the status. Answers each line in order. */
class NextAgent {
  readonly #socket: Socket;
  readonly #guard: Guard;
  /** Process id of the agent that this guardian guards. */
  readonly #agent: number;
  #takingOver = false;
  #rest = '';
  #turn: Promise<void> = Promise.resolve();

  constructor(socket: Socket, guard: Guard, agent: number) {
    this.#socket = socket;
    this.#guard = guard;
    this.#agent = agent;
  }

  serve(): void {
    const socket = this.#socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    // A lost connection shows in `close`.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (this.#takingOver) this.#guard.endHandover(false);
    });
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LINE_LIMIT) this.#socket.destroy();
    for (const line of lines) this.#turn = this.#turn.then(() => this.#handle(parseToPreviousGuardian(line)));
  }

  async #handle(message: ToPreviousGuardian | undefined): Promise<void> {
    if (message?.kind === 'look') this.#answer({ kind: 'seen', ...this.#status });
    else if (message?.kind === 'back') await this.#beginHandover();
    else if (this.#takingOver && message?.kind === 'release') this.#answer(await this.#release(message));
    else if (this.#takingOver && message?.kind === 'done') this.#endHandover();
    else this.#socket.destroy();
  }

  get #status(): GuardianStatus {
    return { guardian: process.pid, agent: this.#agent, ...this.#guard.status };
  }

  async #beginHandover(): Promise<void> {
    const handover = await this.#guard.beginHandover();
    this.#takingOver = handover !== undefined;
    // The agent went away while a write to the hardware was under way.
    if (this.#takingOver && this.#socket.destroyed) this.#guard.endHandover(false);
    this.#answer(handover ? { kind: 'yours', ...handover } : { kind: 'busy', agent: this.#agent });
  }

  async #release({ port, to }: Release): Promise<FromPreviousGuardian> {
    let released: FromPreviousGuardian = { kind: 'released', passed: 0 };
    await this.#guard.release(
      port,
      to === undefined
        ? undefined
        : async ({ plan, descriptors }) => {
            (await loadFdPassing()).sendTo(to, descriptors);
            released = { kind: 'released', passed: descriptors.length, plan };
          },
    );
    return released;
  }

  #endHandover(): void {
    this.#takingOver = false;
    this.#answer({ kind: 'released', passed: 0 });
    this.#socket.end(() => this.#guard.endHandover(true));
  }

  #answer(message: FromPreviousGuardian): void {
    if (!this.#socket.destroyed) this.#socket.write(`${JSON.stringify(message)}\n`);
  }
}
