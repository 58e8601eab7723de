import { afterEach, describe, it } from 'vitest';
import { Lab } from './support/lab.ts';
import { endPeers, Peer, type Settings, talkBoth } from './support/peer.ts';
import { tunnel } from './support/tunnel.ts';

const lab = new Lab();
afterEach(async () => {
  await endPeers();
  lab.close();
});

const open = { rx: 5012, tx: 5013, listen: '0.0.0.0', insecure: true };
const PATIENCE_MS = 20_000;
type Make = (settings: Settings, namespace?: string) => Peer;
const kinds: Readonly<Record<string, Make>> = { ours: Peer.node, v1: Peer.v1 };

/** A process in a role: how it is started, again if it died. */
interface Role {
  readonly start: () => Promise<Peer>;
  peer: Peer;
}

async function role(make: Make, settings: Settings, machine: string): Promise<Role> {
  const start = () => make(settings, machine).ready(PATIENCE_MS);
  return { start, peer: await start() };
}

async function everybodyTalks(roles: readonly Role[]): Promise<void> {
  for (const [at, one] of roles.entries())
    for (const other of roles.slice(at + 1)) await talkBoth(one.peer, other.peer, PATIENCE_MS);
}

/** Each of `mortal` dies and returns in turn; all talk once it is back. */
async function eachDiesAndReturns(mortal: readonly Role[], all = mortal): Promise<void> {
  for (const dying of mortal) {
    dying.peer.kill();
    await dying.peer.exited;
    dying.peer = await dying.start();
    await everybodyTalks(all);
  }
}

const brokerAndLater = [
  ['v1', 'ours'],
  ['ours', 'v1'],
] as const;

describe.each(brokerAndLater)('%s as address broker of a machine, %s as the later process', (broker, later) => {
  it('either dies and returns, and both talk again', async () => {
    const machine = lab.machine('a');
    lab.network(1, { [machine]: '10.1.1.1' });
    const first = await role(kinds[broker] ?? Peer.v1, open, machine);
    await eachDiesAndReturns([first, await role(kinds[later] ?? Peer.v1, open, machine)]);
  }, 90_000);
});

describe.each(brokerAndLater)('%s as broker in the LAN, %s as its client, and one more of each', (broker, client) => {
  it('either dies and returns, and all talk again', async () => {
    const [a, b] = [lab.machine('a'), lab.machine('b')];
    lab.network(1, { [a]: '10.1.1.1', [b]: '10.1.1.2' });
    const named = await role(kinds[broker] ?? Peer.v1, open, a);
    const called = { ...open, brokers: ['10.1.1.1:5012:5013'] };
    const caller = await role(kinds[client] ?? Peer.v1, called, b);
    const third = await role(kinds[broker] ?? Peer.v1, open, b);
    await everybodyTalks([named, caller, third]);
    await eachDiesAndReturns([named, caller], [named, caller, third]);
  }, 120_000);
});

describe.each(brokerAndLater)('%s at the far end of a tunnel, %s behind proxy_brokers', (far, near) => {
  it('either dies and returns, and both talk again', async () => {
    const [a, b] = [lab.machine('a'), lab.machine('b')];
    lab.network(1, { [b]: '10.1.1.2' });
    await tunnel(b, a, a);
    const end = await role(kinds[far] ?? Peer.v1, open, a);
    const behind = await role(kinds[near] ?? Peer.v1, { ...open, proxyBrokers: ['127.0.0.1:8012:8013'] }, b);
    await eachDiesAndReturns([end, behind]);
  }, 90_000);
});

describe('two v1 processes that only our broker has introduced to each other', () => {
  it('still talk after the broker has died, when one of them had been restarted before', async () => {
    const [a, b, c] = [lab.machine('a'), lab.machine('b'), lab.machine('c')];
    lab.network(1, { [a]: '10.1.1.1', [b]: '10.1.1.2', [c]: '10.1.1.3' });
    const broker = await Peer.node(open, a).ready();
    const called = { ...open, brokers: ['10.1.1.1:5012:5013'] };
    const one = await role(Peer.v1, called, b);
    const other = await role(Peer.v1, called, c);
    await talkBoth(one.peer, other.peer, PATIENCE_MS);
    other.peer.kill();
    await other.peer.exited;
    other.peer = await other.start();
    await talkBoth(one.peer, other.peer, PATIENCE_MS);
    await talkBoth(broker, other.peer, PATIENCE_MS);
    broker.kill('SIGKILL');
    await broker.exited;
    await talkBoth(one.peer, other.peer, PATIENCE_MS);
  }, 90_000);
});
