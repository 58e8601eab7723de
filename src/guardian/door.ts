import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Estate } from '../driver/last-will.ts';
import type { Guard } from './guard.ts';
import { type FromPredecessor, parseToPredecessor, type ToPredecessor } from './messages.ts';
import { loadPassing } from './passing.ts';
import { openFolder } from './rendezvous.ts';

/** Most bytes a line may have; ours have a port's name at most. */
const LINE_LIMIT = 4096;

type Asked = Extract<ToPredecessor, { kind: 'release' }>;

/** Lets the agent of the next life take over from this guardian. Resolves once it listens; rejects when it cannot. */
export function openDoor(path: string, guard: Guard, agent: number): Promise<{ close(): void }> {
  const server = createServer((socket) => welcome(socket, guard, agent));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    openFolder(dirname(path));
    // Of a process that had our agent's number before.
    rmSync(path, { force: true });
    server.listen(path, () => resolve({ close: () => void server.close() }));
  });
}

function welcome(socket: Socket, guard: Guard, agent: number): void {
  let rest = '';
  let taking = false;
  let turn: Promise<void> = Promise.resolve();
  const answer = (one: FromPredecessor) => {
    if (!socket.destroyed) socket.write(`${JSON.stringify(one)}\n`);
  };
  const take = async (line: string): Promise<void> => {
    const asked = parseToPredecessor(line);
    if (asked?.kind === 'look') {
      answer({ kind: 'seen', guardian: process.pid, agent, ...guard.sight });
    } else if (asked?.kind === 'back') {
      const left = await guard.handOver();
      taking = left !== undefined;
      // It did not wait for the end of a write.
      if (taking && socket.destroyed) guard.handedOver(false);
      answer(left ? { kind: 'yours', ...left } : { kind: 'busy', agent });
    } else if (taking && asked?.kind === 'release') {
      answer(await letGo(guard, asked));
    } else if (taking && asked?.kind === 'done') {
      taking = false;
      answer({ kind: 'released', passed: 0 });
      socket.end(() => guard.handedOver(true));
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
    if (taking) guard.handedOver(false);
  });
}

async function letGo(guard: Guard, { port, to }: Asked): Promise<FromPredecessor> {
  let told: FromPredecessor = { kind: 'released', passed: 0 };
  const pass = async (path: string, { plan, descriptors }: Estate) => {
    (await loadPassing()).post(path, descriptors);
    told = { kind: 'released', passed: descriptors.length, plan };
  };
  await guard.release(port, to === undefined ? undefined : (estate) => pass(to, estate));
  return told;
}
