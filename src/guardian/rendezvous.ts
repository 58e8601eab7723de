import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DcsError } from '../errors/errors.ts';

/** Where the guardians of this user's agents listen: a folder of its own that nobody else may enter. Not on a disk where that can be had. */
export function rendezvousFolder(env: NodeJS.ProcessEnv = process.env): string {
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
export function openFolder(folder: string): void {
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
export function identityOf(configFile: string, node: string): string {
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
export function boxPath(folder: string, identity: string, agent: number, serial: number): string {
  return join(folder, `${identity}.${agent}.${serial}.take`);
}

/** The sockets of guardians of all lives, dead ones too; without an identity those of all agents. */
export function socketsOf(folder: string, identity?: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.guard') && (identity === undefined || name.startsWith(`${identity}.`)))
      .map((name) => join(folder, name));
  } catch {
    // No folder: nobody has been here.
    return [];
  }
}
