import { afterEach, describe, expect, it } from 'vitest';
import { inside, Lab } from './support/lab.ts';
import { filter, open, type Pair, pairOf } from './support/pair.ts';
import { endPeers, Peer, type Settings } from './support/peer.ts';

const lab = new Lab();
afterEach(async () => {
  await endPeers();
  lab.close();
});

const pair = (first?: Partial<Settings>, second?: Partial<Settings>): Promise<Pair> => pairOf(lab, first, second);

const busy = 500;

describe('a peer that is lost is reported within 2 s', () => {
  const ways: Record<string, (machine: string, peer: Peer) => void> = {
    'when nothing passes': (machine) => filter(machine, ['input', 'output'], 'drop'),
    'when nothing reaches it': (machine) => filter(machine, ['input'], 'drop'),
    'when nothing comes from it': (machine) => filter(machine, ['output'], 'drop'),
    'when its cable is pulled': (machine) => void inside(machine, 'ip', 'link', 'set', 'e1', 'down'),
    'when it is stopped': (_machine, peer) => inside_signal(peer, 'SIGSTOP'),
    'when its program hangs': (_machine, peer) => peer.tell({ hang: 4000 }),
    'when it is killed': (_machine, peer) => inside_signal(peer, 'SIGKILL'),
  };
  it.each(Object.entries(ways))('%s', async (_name, lose) => {
    const { b, one, two } = await pair();
    const begun = performance.now();
    lose(b, two);
    await one.line((line) => line['down'] === two.id, 4000);
    expect(performance.now() - begun).toBeLessThan(2000 + busy);
  });
});

function inside_signal(peer: Peer, signal: NodeJS.Signals): void {
  peer.kill(signal);
}

describe('no stale command is carried out:', () => {
  it('one that waited for a stopped peer', async () => {
    const { one, two } = await pair({}, { pin: 'pump' });
    two.kill('SIGSTOP');
    for (let n = 0; n < 10; n++) one.send('IoMessage', { pin_name: 'pump', val: n });
    await new Promise((resolve) => setTimeout(resolve, 4000));
    two.kill('SIGCONT');
    await one.line(
      (line) => line['up'] === two.id && one.lines.indexOf(line) > one.lines.findIndex((l) => 'down' in l),
      8000,
    );
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(two.lines.filter((line) => 'executed' in line)).toEqual([]);
    one.tell({ ask: { pin_name: 'pump', val: 'fresh' } });
    await one.line((line) => line['answer'] === 'fresh');
  }, 40_000);

  it('one sent while the peer was dead', async () => {
    const { b, one, two } = await pair({}, { pin: 'pump' });
    two.kill();
    await two.exited;
    for (let n = 0; n < 10; n++) one.send('IoMessage', { pin_name: 'pump', val: n });
    const again = await Peer.node({ ...open, brokers: ['10.1.1.1:5012:5013'], pin: 'pump' }, b).ready();
    await one.line((line) => line['up'] === again.id);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(again.lines.filter((line) => 'executed' in line)).toEqual([]);
  }, 40_000);
});

describe('a late joiner', () => {
  it('knows the value of every pin at once', async () => {
    const machine = lab.machine('a');
    const one = await Peer.node({ rx: 5012, tx: 5013, pin: 'lamp' }, machine).ready();
    one.tell({ ask: { pin_name: 'lamp', val: 'on' } });
    const late = await Peer.node({ rx: 5012, tx: 5013, only: 'lamp' }, machine).ready();
    const got = await late.hears('IoMessage', 2000);
    expect(got.payload['IoMessage']?.['val']).toBe('on');
  });
});

describe('a slow consumer', () => {
  it('harms only itself: when one of three is stopped the others lose nothing and the sender does not grow', async () => {
    const machine = lab.machine('a');
    const settings = { rx: 5012, tx: 5013 };
    const source = await Peer.node({ ...settings, quiet: true }, machine).ready();
    const sinks: Peer[] = [];
    for (let n = 0; n < 3; n++) sinks.push(await Peer.node(settings, machine).ready());
    for (const sink of sinks) await source.line((line) => line['up'] === sink.id);
    await new Promise((resolve) => setTimeout(resolve, 500));
    // The first flood grows the heap to what sending needs; the second shows the cost of the stopped peer.
    await flood('Warm', sinks);
    const before = await memory(source);
    sinks[0]?.kill('SIGSTOP');
    await flood('Flood', sinks.slice(1));
    expect((await memory(source)) - before).toBeLessThan(20e6);

    async function flood(subject: string, to: readonly Peer[]): Promise<void> {
      source.send(subject, { text: 'x'.repeat(200) }, { count: 10_000, rate: 2000 });
      for (const sink of to) {
        await sink.line(({ got }) => got?.payload[subject]?.['n'] === 9999, 30_000);
        expect(sink.got(subject)).toHaveLength(10_000);
      }
    }
  }, 60_000);
});

/** Resident memory of a node (bytes). */
async function memory(peer: Peer): Promise<number> {
  const asked = peer.lines.length;
  peer.tell({ stats: true });
  const { stats } = await peer.line((line) => 'stats' in line && peer.lines.indexOf(line) >= asked);
  return typeof stats === 'object' && stats !== null && 'rss' in stats ? Number(stats.rss) : Number.NaN;
}

describe('a peer that floods a hung process and dies', () => {
  it('does not crash that process over a session', async () => {
    const machine = lab.machine('a');
    const settings = { rx: 5012, tx: 5013, quiet: true };
    const victim = await Peer.node(settings, machine).ready();
    const flooder = await Peer.node(settings, machine).ready();
    await flooder.line((line) => line['up'] === victim.id);
    victim.tell({ hang: 9000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    // More than all queues between them hold.
    flooder.send('Flood', { text: 'x'.repeat(1000) }, { count: 50_000, rate: 50_000 });
    await new Promise((resolve) => setTimeout(resolve, 2500));
    flooder.kill('SIGKILL');
    await survives(victim);
  }, 60_000);

  it('does not crash that process over a v1 link', async () => {
    const machine = lab.machine('a');
    const victim = await Peer.node({ rx: 5012, tx: 5013, quiet: true }, machine).ready();
    // It floods as soon as it has a subscriber: more than all queues between them hold.
    const program = `
import time, zmq
pub = zmq.Context().socket(zmq.XPUB)
pub.set_hwm(100000)
pub.connect("tcp://127.0.0.1:5012")
pub.recv()
print("{}", flush=True)
time.sleep(0.5)
n = 0
while True:
  pub.send_string('{"sender":["Flood"],"timestamp":1,"msg_id":"Flood.%d","payload":{"Flood":{"text":"%s"}}}' % (n, "x" * 2000))
  n += 1
`;
    const flooder = new Peer('/usr/bin/python3', ['-c', program], machine);
    await flooder.line(() => true);
    victim.tell({ hang: 4000 });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    flooder.kill('SIGKILL');
    await survives(victim);
  }, 60_000);

  async function survives(victim: Peer): Promise<void> {
    victim.tell({ stats: true });
    await victim.line((line) => 'stats' in line, 40_000);
    expect(victim.child.signalCode).toBeNull();
  }
});

describe('the end', () => {
  it.each(['with the peer there', 'under partition'])(
    'SIGTERM ends a process within 2 s, %s; the peer knows why',
    async (how) => {
      const { b, one, two } = await pair();
      if (how === 'under partition') filter(b, ['input', 'output'], 'drop');
      const begun = performance.now();
      // The network namespace's `ip` has become the program itself.
      two.kill('SIGTERM');
      await two.exited;
      expect(performance.now() - begun).toBeLessThan(2000 + busy);
      const { reason } = await one.line((line) => line['down'] === two.id, 4000);
      expect(reason).toBe(how === 'under partition' ? 'silent' : 'leave');
    },
  );

  it('is a goodbye also for a busy peer that reads it together with the end of the connection', async () => {
    const { one, two } = await pair();
    one.tell({ hang: 1500 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    two.kill('SIGTERM');
    const { reason } = await one.line((line) => line['down'] === two.id);
    expect(reason).toBe('leave');
  });
});

describe('a bad network', () => {
  it.each([
    ['one way', ['input']],
    ['each way', ['input', 'output']],
  ] as const)(
    'that loses a quarter of the packets %s makes nobody dead',
    async (_name, chains) => {
      const { b, one, two } = await pair();
      filter(b, chains, 'numgen random mod 100 < 25 counter drop');
      await new Promise((resolve) => setTimeout(resolve, 15_000));
      expect(inside(b, 'nft', 'list', 'table', 'ip', 'cut')).toMatch(/packets [1-9]/);
      for (const peer of [one, two]) expect(peer.lines.filter((line) => 'down' in line)).toEqual([]);
      // A real death on such a network is noticed as soon as on any other.
      const begun = performance.now();
      two.kill('SIGSTOP');
      await one.line((line) => line['down'] === two.id, 4000);
      expect(performance.now() - begun).toBeLessThan(2000 + busy);
    },
    40_000,
  );

  it('that passes datagrams but no TCP is reported within 2 s too', async () => {
    const { b, one, two } = await pair();
    filter(b, ['input', 'output'], 'meta l4proto tcp drop');
    const begun = performance.now();
    await one.line((line) => line['down'] === two.id, 4000);
    expect(performance.now() - begun).toBeLessThan(2000 + busy);
  });

  it('that delays one connection for long costs that connection only: another replaces it', async () => {
    const { b, one, two } = await pair();
    // Meanwhile each has told the other how it is pinged.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const connections = inside(b, 'ss', '-Htn', 'state', 'established');
    const ends = [...connections.matchAll(/10\.1\.1\.2:(\d+)\s+10\.1\.1\.1:(\d+)/g)];
    expect(ends).not.toEqual([]);
    inside(b, 'nft', 'add', 'table', 'ip', 'held');
    inside(b, 'nft', 'add chain ip held output { type filter hook output priority 0; }');
    for (const [, own, other] of ends)
      inside(b, 'nft', `add rule ip held output tcp sport ${own} tcp dport ${other} drop`);
    filter(b, ['input'], 'meta l4proto udp numgen random mod 100 < 40 drop');
    two.send('Held', {}, { count: 100, rate: 100 });
    await one.line((line) => 'gap' in line, 15_000);
    two.send('Afterwards', {});
    await one.hears('Afterwards');
    expect(one.lines.filter((line) => 'down' in line)).toEqual([]);
  }, 40_000);

  it('that passes no datagrams changes nothing', async () => {
    const { b, one, two } = await pair();
    filter(b, ['input', 'output'], 'meta l4proto udp drop');
    await new Promise((resolve) => setTimeout(resolve, 5000));
    for (const peer of [one, two]) expect(peer.lines.filter((line) => 'down' in line)).toEqual([]);
  }, 40_000);
});
