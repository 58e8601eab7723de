import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { allow, newKeys } from '../../src/mesh/security/keys.ts';
import { inside, Lab } from './support/lab.ts';
import { open } from './support/pair.ts';
import { endPeers, Peer, type Settings, talkBoth } from './support/peer.ts';

const lab = new Lab();
const folders: string[] = [];
afterEach(async () => {
  await endPeers();
  lab.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Machine b gets its node's listen address later: at boot the network comes up after the agent. */
const late = { listen: '10.1.1.77' };
const calling = { brokers: ['10.1.1.77:5012:5013'] };

function machines(): { a: string; b: string } {
  const [a, b] = [lab.machine('a'), lab.machine('b')];
  lab.network(1, { [a]: '10.1.1.1', [b]: '10.1.1.2' });
  return { a, b };
}

async function comesUp(a: string, b: string, first: Settings, second: Settings, local: Settings): Promise<void> {
  const one = await Peer.node(first, a).ready();
  const two = await Peer.node(second, b).ready();
  const beside = await Peer.v1(local, b).ready();
  await talkBoth(two, beside, 20_000);
  expect(two.errors.join('')).toContain('10.1.1.77 is not an address of this machine yet');
  inside(b, 'ip', 'addr', 'add', '10.1.1.77/24', 'dev', 'e1');
  await talkBoth(one, two, 20_000);
  await talkBoth(two, beside, 20_000);
  await vi.waitFor(() => expect(two.errors.join('')).toContain('the bus listens on 10.1.1.77 now'));
}

describe('a node whose listen address does not exist yet', () => {
  it('runs on loopback with the others of its machine, and on the network as soon as the address exists', async () => {
    const { a, b } = machines();
    await comesUp(a, b, { ...open, ...calling }, { ...open, ...late }, open);
  }, 90_000);

  it('does so with keys too', async () => {
    const { a, b } = machines();
    const [ka, kb] = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'dcs-io-late-')));
    if (!ka || !kb) throw new Error('no folders');
    folders.push(ka, kb);
    const [pa, pb] = [(await newKeys(ka)).publicKey, (await newKeys(kb)).publicKey];
    allow(ka, 'b', pb);
    allow(kb, 'a', pa);
    const secure = { rx: 5012, tx: 5013 };
    const first = { ...secure, listen: '0.0.0.0', keys: ka, ...calling };
    await comesUp(a, b, first, { ...secure, ...late, keys: kb }, secure);
  }, 90_000);

  it('stops at once while it waits', async () => {
    const { b } = machines();
    const two = await Peer.node({ ...open, ...late }, b).ready();
    two.child.kill('SIGTERM');
    expect(await two.exited).toBe(0);
  }, 30_000);
});
