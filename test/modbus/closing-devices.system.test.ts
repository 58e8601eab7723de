import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Channel } from '../../src/driver/contract.ts';
import { FaultySlave } from './faulty-slave.ts';
import { channelOf, Owner, until } from './owner.ts';

let slave: FaultySlave;
let owner: Owner;
let tcp: string;

beforeEach(async () => {
  slave = new FaultySlave();
  tcp = `127.0.0.1:${await slave.listen()}`;
});
afterEach(async () => {
  await owner?.close();
  await slave.close();
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const [level, coil] = [channelOf({ holding: 10 }), channelOf({ coil: 0 }, { direction: 'out' })];

/** No reading was bad, and the port never went down. */
function expectNoLoss(...channels: readonly Channel[]): void {
  expect(owner.downs).toEqual([]);
  for (const { key } of channels) expect((owner.readings.get(key) ?? []).filter(({ ok }) => !ok)).toEqual([]);
}

describe('a device that closes connections', () => {
  it.each([
    { after: 'each', ms: 0 },
    { after: 'each', ms: 1 },
    { after: 'each', ms: 30 },
    { after: 'each', ms: 300 },
    { after: 'idle', ms: 110 },
    { after: 'idle', ms: 400 },
  ] as const)('$after $ms ms: no bad value, no command refused or of unknown outcome', async (closes) => {
    slave.closes = closes;
    owner = new Owner({ tcp, poll: '130ms' }, [level, coil]);
    const port = await owner.open();
    for (let round = 0; round < 12; round++) {
      expect(await port.write(coil, round % 2 === 0)).toEqual({ readBack: round % 2 === 0 });
      await pause(round * 17);
      slave.word = () => round;
      await until(() => owner.value(level) === round, 1000, `value ${round}`);
    }
    expectNoLoss(level, coil);
  });

  it('while it is idle, by FIN or RST: nothing happens until the next request, which uses a new connection', async () => {
    owner = new Owner({ tcp, poll: '1h' }, [level, coil]);
    const port = await owner.open();
    await until(() => owner.value(level) !== undefined && owner.value(coil) !== undefined, 1000);
    const before = slave.connections;
    for (const end of ['fin', 'rst'] as const) {
      slave.hangUp(end);
      await until(() => owner.counters.get('connections_closed') === (end === 'fin' ? 1 : 2), 500);
      await pause(100);
      expect(slave.connections).toBe(end === 'fin' ? before : before + 1);
      expect(await port.write(coil, true)).toEqual({ readBack: true });
    }
    expectNoLoss(level, coil);
    expect(owner.counters.get('connections')).toBe(3);
  });

  it('in place of an answer, once: the read is sent again, and a write is not, but read back', async () => {
    owner = new Owner({ tcp, poll: '1h' }, [level, coil]);
    const port = await owner.open();
    await until(() => owner.value(level) !== undefined, 1000);
    const once = (fn: number) => {
      let done = false;
      slave.script = (request) => {
        if (done || request.fn !== fn) return { do: 'answer' };
        done = true;
        return { do: 'fin' };
      };
    };
    once(3);
    expect(await port.read([level])).toEqual([{ ok: true, value: 1010 }]);
    once(5);
    expect(await port.write(coil, true)).toEqual({ readBack: true });
    expect(slave.seen.filter(({ fn }) => fn === 5).length).toBe(1);
    expect(owner.counters.get('requests_repeated')).toBe(1);
    expect(owner.downs).toEqual([]);
  });

  it('on each request: the failure is named, and the cure', async () => {
    slave.admits = () => 'close';
    owner = new Owner({ tcp, poll: '1h' }, [level]);
    const port = await owner.open();
    const [reading] = await port.read([level]);
    expect(reading).toMatchObject({
      ok: false,
      error: {
        code: 'TIMEOUT',
        message: expect.stringMatching(
          /^unit 1 holding 10: .*the device closed the connection twice in place of an answer; .*connect: \{ pause: 1s \}/,
        ),
      },
    });
  });

  it('before anything is asked, while `pause` lasts: the port is lost, and a command is not kept waiting', async () => {
    slave.turnsAwayMs = 20;
    owner = new Owner({ tcp, poll: '1h', pause: '50ms' }, [level, coil]);
    const port = await owner.open();
    await expect(port.write(coil, true)).rejects.toMatchObject({ code: 'PORT_DOWN' });
    const message = expect.stringContaining('closes every connection before anything is asked');
    expect(owner.downs).toMatchObject([{ error: { message } }]);
    expect(slave.connections).toBeLessThanOrEqual(4);
  });

  it('and listens again only 100 ms later: the connection is tried again', async () => {
    owner = new Owner({ tcp, poll: '1h' }, [level]);
    const port = await owner.open();
    await until(() => owner.value(level) !== undefined, 1000);
    slave.hangUp('fin');
    await until(() => owner.counters.get('connections_closed') === 1, 500);
    slave.stopListening();
    const reading = port.read([level]);
    await pause(100);
    await slave.listen(Number(tcp.split(':')[1]));
    expect(await reading).toEqual([{ ok: true, value: 1010 }]);
    expect(owner.downs).toEqual([]);
  });
});

describe('connect: { pause }', () => {
  it.each(['ignore', 'close'] as const)(
    'is kept before the first request of each connection (device: %s)',
    async (sin) => {
      slave.admits = (age) => (age < 250 ? sin : 'answer');
      slave.closes = { after: 'idle', ms: 100 };
      owner = new Owner({ tcp, poll: '600ms', connect: { pause: '300ms' } }, [level, coil]);
      const port = await owner.open();
      expect(await port.write(coil, true)).toEqual({ readBack: true });
      await until(() => slave.connections > 2 && owner.value(level) === 1010, 3000);
      expectNoLoss(level, coil);
      expect(owner.counters.get('timeouts')).toBeUndefined();
    },
  );

  it('does not count for the response timeout, but for the time a command may wait', async () => {
    owner = new Owner({ tcp, poll: '1h', timeout: '100ms', connect: { pause: '300ms' } }, [coil]);
    const port = await owner.open();
    await until(() => owner.value(coil) !== undefined, 1000);
    slave.hangUp('fin');
    await until(() => owner.counters.get('connections_closed') === 1, 500);
    const began = performance.now();
    await expect(port.write(coil, true, { expiresAt: performance.now() + 100 })).rejects.toMatchObject({
      code: 'EXPIRED',
    });
    expect(performance.now() - began).toBeLessThan(200);
    expect(await port.write(coil, true)).toEqual({ readBack: true });
    expect(slave.seen.filter(({ fn }) => fn === 5).length).toBe(1);
  });

  it('may be longer than a command without ttl waits otherwise', { timeout: 20_000 }, async () => {
    owner = new Owner({ tcp, poll: '1h', connect: { pause: '6s', close_after: 'each' } }, [coil]);
    const port = await owner.open();
    expect(await port.write(coil, true)).toMatchObject({ readBack: true });
  });

  it('is over at once when the port is closed', async () => {
    owner = new Owner({ tcp, poll: '1h', connect: { pause: '5s' } }, [coil]);
    const port = await owner.open();
    const failed = expect(port.write(coil, true)).rejects.toMatchObject({ code: 'PORT_DOWN' });
    await pause(50);
    const began = performance.now();
    await port.close();
    await failed;
    expect(performance.now() - began).toBeLessThan(100);
  });
});

describe('connect: { close_after }', () => {
  it('each: every reply ends its connection', async () => {
    owner = new Owner({ tcp, poll: '100ms', connect: { close_after: 'each' } }, [level, coil]);
    const port = await owner.open();
    expect(await port.write(coil, true)).toEqual({ readBack: true });
    await until(() => slave.seen.length >= 8, 2000);
    expect(slave.connections).toBeGreaterThanOrEqual(slave.seen.length);
    expect(slave.connections).toBeLessThanOrEqual(slave.seen.length + 1);
    expectNoLoss(level, coil);
  });

  it('each: what a device sends behind its reply is no part of the next one', async () => {
    slave.script = () => ({ do: 'and-more' });
    owner = new Owner({ tcp, poll: '1h', connect: { close_after: 'each' } }, [level, coil]);
    const port = await owner.open();
    for (const on of [true, false, true]) expect(await port.write(coil, on)).toEqual({ readBack: on });
    expectNoLoss(level, coil);
    expect(owner.counters.get('frames_corrupt')).toBeUndefined();
  });

  it('idle: the connection ends 100 ms after the last reply', async () => {
    owner = new Owner({ tcp, poll: '400ms', connect: { close_after: 'idle' } }, [level, coil]);
    await owner.open();
    await until(() => slave.seen.length >= 4, 2000);
    expect(slave.open).toBe(1);
    await until(() => slave.open === 0, 300);
    await until(() => slave.seen.length >= 8, 2000);
    expect(slave.connections).toBeLessThan(slave.seen.length);
    expectNoLoss(level, coil);
  });
});

describe('pause over TCP', () => {
  it('is kept between requests, also before the first one of a connection', async () => {
    const born: number[] = [];
    slave.admits = (age) => {
      born.push(age);
      return 'answer';
    };
    owner = new Owner({ tcp, poll: '100ms', pause: '150ms' }, [level, coil]);
    const port = await owner.open();
    for (const on of [true, false]) await port.write(coil, on);
    await until(() => slave.seen.length >= 8, 4000);
    const gaps = slave.seen.slice(1).map(({ at }, index) => at - (slave.seen[index]?.at ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThan(145);
    expect(born[0]).toBeGreaterThan(145);
  });
});

describe('a device that stays silent', () => {
  it('gets a new connection after a while, because it may have forgotten the old one', async () => {
    slave.script = () => ({ do: 'silent' });
    owner = new Owner({ tcp, poll: '1s', timeout: '100ms' }, [level]);
    await owner.open();
    await until(() => slave.connections > 1, 15_000);
    slave.script = () => ({ do: 'answer' });
    await until(() => owner.value(level) === 1010, 4000);
    expect(owner.downs).toEqual([]);
  }, 25_000);
});
