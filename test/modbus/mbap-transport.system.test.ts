import { describe, expect, it } from 'vitest';
import { MbapTransport } from '../../drivers/modbus/transport/mbap-transport.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { openTcp } from '../../src/driver/kit/link.ts';
import { toDcsError } from '../../src/errors/errors.ts';
import { type Fault, FaultySlave } from './faulty-slave.ts';
import { seeded } from './sim-bus.ts';

interface Tally {
  right: number;
  wrong: number;
  readonly failed: Map<string, number>;
  reconnects: number;
}

/**
 * Reads from as many places at once as asked for. Each reply carries the number of the request it answers (its place
 * among all that the slave has heard), so that one given to another request shows, be it for the same register.
 */
async function hammer(
  settings: { reads: number; concurrency: number; timeoutMs: number },
  fault: (random: () => number) => Fault,
) {
  const slave = new FaultySlave();
  const port = await slave.listen();
  const random = seeded(3);
  slave.keep = false;
  slave.script = () => fault(random);
  const counters = new Map<string, number>();
  const tally: Tally = { right: 0, wrong: 0, failed: new Map(), reconnects: 0 };
  let transport: MbapTransport;
  const connect = async () => {
    const { concurrency, timeoutMs } = settings;
    const count = (name: string, by = 1) => counters.set(name, (counters.get(name) ?? 0) + by);
    const made = new MbapTransport(
      { clock: systemClock, concurrency, unit: () => ({ timeoutMs, pauseMs: 0 }), datagrams: false },
      { count, unitReleased: () => undefined, down: () => undefined },
    );
    await made.start((events) => openTcp({ host: '127.0.0.1', port }, systemClock, 2000, events));
    return made;
  };
  transport = await connect();
  let [left, turn] = [settings.reads, 0];
  let reconnecting: Promise<void> | undefined;
  const reopen = async () => {
    await transport.close();
    transport = await connect();
    tally.reconnects++;
    reconnecting = undefined;
  };
  const worker = async () => {
    while (left-- > 0) {
      // Two registers that no other request of the last 60,000 asks for tell whose reply it is.
      const first = turn++ % 60_000;
      const used = transport;
      try {
        const data = await used.transact({ kind: 'read', unit: 1, table: 'holding', first, count: 2 });
        const expected = [slave.word(1, first), slave.word(1, first + 1)];
        if (data.readUInt16BE(0) === expected[0] && data.readUInt16BE(2) === expected[1]) tally.right++;
        else tally.wrong++;
      } catch (thrown) {
        const { code } = toDcsError(thrown);
        tally.failed.set(code, (tally.failed.get(code) ?? 0) + 1);
        if (code !== 'PORT_DOWN') continue;
        if (used === transport) reconnecting ??= reopen();
        await reconnecting;
      }
    }
  };
  await Promise.all(Array.from({ length: settings.concurrency }, worker));
  await transport.close();
  await slave.close();
  return { ...tally, counters };
}

describe('Modbus TCP, and not one wrong value', () => {
  it('70,000 transactions, sixteen at once, with stragglers of up to 3 timeouts', { timeout: 120_000 }, async () => {
    const { right, wrong, counters, reconnects } = await hammer(
      { reads: 70_000, concurrency: 16, timeoutMs: 50 },
      (random) => (random() < 0.01 ? { do: 'late', ms: random() * 150 } : { do: 'answer' }),
    );
    expect(wrong).toBe(0);
    expect(right).toBeGreaterThan(68_000);
    expect(counters.get('replies_late')).toBeGreaterThan(300);
    expect(reconnects).toBe(0);
  });

  // A foreign id that happens to be another pending request's cannot be told from that one's reply: only with one
  // request under way, the default, is a device whose ids are wrong harmless.
  it.each([
    { concurrency: 1, ids: 0.01 },
    { concurrency: 4, ids: 0 },
  ])('10,000 reads with corrupt headers, foreign ids and broken replies: %j', { timeout: 120_000 }, async (how) => {
    const settings = { reads: 10_000, concurrency: how.concurrency, timeoutMs: 30 };
    const { right, wrong, reconnects } = await hammer(settings, (random) => {
      if (random() < how.ids) return { do: 'wrong-id', by: [-2, -1, 1, 2][Math.floor(random() * 4)] ?? 1 };
      const dice = random();
      if (dice < 0.01) return { do: 'length', value: [0, 1, 255, 0xffff][Math.floor(random() * 4)] ?? 0 };
      if (dice < 0.02) return { do: 'protocol' };
      if (dice < 0.05) return { do: 'wrong-unit' };
      if (dice < 0.06) return { do: 'wrong-function' };
      if (dice < 0.07) return { do: 'wrong-count' };
      if (dice < 0.08) return { do: 'twice' };
      if (dice < 0.09) return { do: 'rst' };
      return dice < 0.12 ? { do: 'bytewise' } : { do: 'answer' };
    });
    expect(wrong).toBe(0);
    expect(right).toBeGreaterThan(7000);
    expect(reconnects).toBeGreaterThan(100);
  });
});
