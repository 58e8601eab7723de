import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { HeldDescriptors } from '../driver/contract.ts';
import { DcsError } from '../errors/errors.ts';
import { loadFdPassing } from './fd-passing.ts';
import type { Guard } from './guard.ts';
import { type FromPreviousGuardian, parseToPreviousGuardian, type ToPreviousGuardian } from './messages.ts';

/** Where the guardians of this user's agents listen: a folder of its own that nobody else may enter. Not on a disk where that can be had. */
export function socketFolder(env: NodeJS.ProcessEnv = process.env): string {
  const uid = ownUid();
  const [own] = (env['RUNTIME_DIRECTORY'] ?? '').split(':');
  if (own) return own;
  if (uid === 0) return '/run/dcs-io';
  return env['XDG_RUNTIME_DIR'] ? join(env['XDG_RUNTIME_DIR'], 'dcs-io') : join(tmpdir(), `dcs-io-${uid}`);
}

/** Not by name: in a container the number may have none. */
function ownUid(): number {
  return process.getuid?.() ?? 0;
}

/** Makes the folder, for this user alone. Throws a DcsError when it belongs to somebody else, a SystemError otherwise. */
export function makePrivateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = lstatSync(folder);
  if (uid !== ownUid()) {
    throw new DcsError('NO_PERMISSION', `${folder} belongs to another user`, {
      found: uid,
      expected: 'a folder of ours',
    });
  }
  if ((mode & 0o022) !== 0) chmodSync(folder, 0o700);
}

/** Agents with one configuration file and one node name are lives of one agent. */
export function agentIdentity(configFile: string, node: string): string {
  return createHash('sha256')
    .update(`${resolve(configFile)}\0${node}`)
    .digest('hex')
    .slice(0, 16);
}

/** Where the guardian of one life listens. */
export function socketPath(folder: string, identity: string, agent: number): string {
  return join(folder, `${identity}.${agent}.guard`);
}

/** Where an agent is passed what a guardian holds. */
export function receiverPath(folder: string, identity: string, agent: number, serial: number): string {
  return join(folder, `${identity}.${agent}.${serial}.take`);
}

/** The sockets of guardians of all lives, dead ones too; without an identity those of all agents. */
export function guardianSockets(folder: string, identity?: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.guard') && (identity === undefined || name.startsWith(`${identity}.`)))
      .map((name) => join(folder, name));
  } catch {
    // No folder: nobody has been here.
    return [];
  }
}

/** Most bytes a line may have; ours have a port's name at most. */
const LINE_LIMIT = 4096;

type ReleaseRequest = Extract<ToPreviousGuardian, { kind: 'release' }>;

/** Lets the agent of the next life take over from this guardian. Resolves once it listens; rejects when it cannot. */
export function listenForNextAgent(path: string, guard: Guard, agent: number): Promise<{ close(): void }> {
  const server = createServer((socket) => serveNextAgent(socket, guard, agent));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    makePrivateFolder(dirname(path));
    // Of a process that had our agent's number before.
    rmSync(path, { force: true });
    server.listen(path, () => resolve({ close: () => void server.close() }));
  });
}

function serveNextAgent(socket: Socket, guard: Guard, agent: number): void {
  let rest = '';
  let taking = false;
  let turn: Promise<void> = Promise.resolve();
  const answer = (one: FromPreviousGuardian) => {
    if (!socket.destroyed) socket.write(`${JSON.stringify(one)}\n`);
  };
  const take = async (line: string): Promise<void> => {
    const asked = parseToPreviousGuardian(line);
    if (asked?.kind === 'look') {
      answer({ kind: 'seen', guardian: process.pid, agent, ...guard.status });
    } else if (asked?.kind === 'back') {
      const left = await guard.beginHandover();
      taking = left !== undefined;
      // It did not wait for the end of a write.
      if (taking && socket.destroyed) guard.endHandover(false);
      answer(left ? { kind: 'yours', ...left } : { kind: 'busy', agent });
    } else if (taking && asked?.kind === 'release') {
      answer(await releasePort(guard, asked));
    } else if (taking && asked?.kind === 'done') {
      taking = false;
      answer({ kind: 'released', passed: 0 });
      socket.end(() => guard.endHandover(true));
    } else socket.destroy();
  };
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_LIMIT) socket.destroy();
    for (const line of lines) turn = turn.then(() => take(line));
  });
  // What is lost with the connection is told by its closing.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    if (taking) guard.endHandover(false);
  });
}

async function releasePort(guard: Guard, { port, to }: ReleaseRequest): Promise<FromPreviousGuardian> {
  let told: FromPreviousGuardian = { kind: 'released', passed: 0 };
  const pass = async (path: string, { plan, descriptors }: HeldDescriptors) => {
    (await loadFdPassing()).sendTo(path, descriptors);
    told = { kind: 'released', passed: descriptors.length, plan };
  };
  await guard.release(port, to === undefined ? undefined : (estate) => pass(to, estate));
  return told;
}
