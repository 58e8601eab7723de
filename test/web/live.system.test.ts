import { IncomingMessage } from 'node:http';
import { connect, Socket } from 'node:net';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { type Clock, systemClock } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { namePattern } from '../../src/message/name-pattern.ts';
import { Nodes } from '../../src/output/nodes.ts';
import { nodeStatuses } from '../../src/web/api/status.ts';
import { Authenticator } from '../../src/web/auth/authenticator.ts';
import { BusBridge } from '../../src/web/live/bus-bridge.ts';
import { BusState, MAX_POINTS, ValueHistory } from '../../src/web/live/bus-state.ts';
import { costOf, denialReason, ReadRateLimit } from '../../src/web/live/websockets.ts';
import type { WebHost } from '../../src/web/options.ts';
import { WebServer } from '../../src/web/web-server.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

function bench() {
  const clock = new ManualClock();
  return { clock, ...benchWith(clock) };
}

function benchWith(clock: Clock) {
  const bus = new Bus({ clock });
  const user = new Actor('user');
  bus.join(user);
  const log = memoryLog();
  const host: WebHost = {
    bus,
    clock,
    log,
    version: '1',
    self: () => ({ event: 'birth', node: 'me', name: 'here', boot: 'b', pins: [] }),
    running: () => true,
    ports: () => [],
    mesh: () => undefined,
    actors: () => [],
    headers: () => [],
  };
  const hub = new BusBridge(host, new BusState(clock, 60_000));
  hub.start();
  const report = (pin_name: string, val: unknown, more: object = {}) =>
    user.send({ IoMessage: { pin_name, val, last_change: 1, quality: 'good', ...more } });
  const node = (event: string, name: string, pins: object[] = []) =>
    user.send({ NodeMessage: { event, node: `id-${name}`, name, boot: 'b', pins } });
  return { bus, user, hub, host, report, node, log };
}

describe('what is known of the bus', () => {
  it('a newcomer is told the nodes first, then the last report of each pin, unchanged', () => {
    const { hub, report, node } = bench();
    node('birth', 'hall', [{ name: 'door', kind: 'digital', direction: 'in' }]);
    report('door', true);
    const last = report('door', false, { note: 'kept' });
    const [me, hall, ...reports] = [...hub.state.snapshot()];
    expect(me?.payload['NodeMessage']).toMatchObject({ name: 'here' });
    expect(hall?.payload['NodeMessage']).toMatchObject({ name: 'hall' });
    expect(reports).toEqual([last]);
  });

  it('pins of a node that has left are bad for everybody, newcomers too, until it is back', () => {
    const { hub, report, node, user } = bench();
    const heard: unknown[] = [];
    node('birth', 'hall', [{ name: 'door', kind: 'digital', direction: 'in' }]);
    report('door', true);
    report('other', true);
    expect(hub.state.pin('door')).toMatchObject({ node: 'hall', val: true, quality: 'good' });
    hub.subscribe(({ payload }) => heard.push(payload['IoMessage'] ?? payload['NodeMessage']));
    node('leave', 'hall');
    const bad = { quality: 'bad', reason: 'hall is gone' };
    expect(hub.state.pin('door')).toMatchObject({ node: 'hall', val: true, ...bad });
    expect(heard).toMatchObject([{ event: 'leave' }, { pin_name: 'door', ...bad }]);
    const told = [...hub.state.snapshot()].map(({ payload }) => payload['NodeMessage'] ?? payload['IoMessage']);
    expect(told).toMatchObject([
      { name: 'here' },
      { name: 'hall', event: 'birth' },
      { name: 'hall', event: 'leave' },
      { pin_name: 'door', ...bad },
      { pin_name: 'other', quality: 'good' },
    ]);
    expect(hub.state.nodes()).toMatchObject([{ name: 'here' }, { name: 'hall', leftS: 0 }]);
    // Under a new id, without the pin it had.
    user.send({ NodeMessage: { event: 'birth', node: 'id-2', name: 'hall', boot: 'c', pins: [{ name: 'gate' }] } });
    expect(hub.state.nodes().map(({ id }) => id)).toEqual(['me', 'id-2']);
    expect(hub.state.pins().map(({ name }) => name)).toEqual(['gate', 'other']);
  });

  it('a node whose link broke for a moment is asked for what it has not reported since', async () => {
    const { hub, report, node, user } = bench();
    const pins = [{ name: 'door' }, { name: 'gate' }];
    node('birth', 'hall', pins);
    report('door', true);
    report('gate', true);
    node('leave', 'hall');
    report('gate', false);
    const asked: unknown[] = [];
    user.on('UpdateIoMessage', (question) => {
      asked.push(question);
      report('door', true);
    });
    node('heartbeat', 'hall', pins);
    await until('the question', () => hub.state.pin('door')?.quality === 'good');
    expect(asked).toEqual([{ pin_name: 'door' }]);
    expect(hub.state.pin('gate')).toMatchObject({ val: false, quality: 'good' });
  });

  it('of two nodes of one name the pins of the one that goes are bad, and stay so while the other goes on', async () => {
    const { hub, report, user } = bench();
    const say = (event: string, id: string, ...names: string[]) =>
      user.send({ NodeMessage: { event, node: id, name: 'pi', boot: id, pins: names.map((name) => ({ name })) } });
    const asked: unknown[] = [];
    user.on('UpdateIoMessage', (question) => {
      asked.push(question);
    });
    say('birth', 'one', 'pressure', 'shared');
    say('birth', 'two', 'level', 'shared');
    say('heartbeat', 'one', 'pressure', 'shared');
    for (const pin of ['pressure', 'level', 'shared']) report(pin, 1);
    const heard: unknown[] = [];
    hub.subscribe(({ payload }) => heard.push(payload['IoMessage']));
    say('leave', 'one');
    const bad = { val: 1, quality: 'bad', reason: 'pi is gone' };
    expect(heard).toMatchObject([undefined, { pin_name: 'pressure', ...bad }, { pin_name: 'shared', ...bad }]);
    say('heartbeat', 'two', 'level', 'shared');
    expect(hub.state.pin('pressure')).toMatchObject(bad);
    expect(hub.state.pin('level')).toMatchObject({ val: 1, quality: 'good' });
    await expect.poll(() => asked).toEqual([{ pin_name: 'shared' }]);
    // What has come back, and has what it had, is one node again.
    say('birth', 'three', 'pressure');
    expect(hub.state.nodes().map(({ id }) => id)).toEqual(['me', 'two', 'three']);
  });

  it('however many nodes come and go under a name with other pins, no more trends are kept than there may be pins', () => {
    const book = new BusState(new ManualClock(), 60_000);
    const names: string[] = [];
    const pass = (id: string, payload: object) =>
      book.record({ sender: [id], timestamp: 1, msg_id: `${id}.0`, payload: { ...payload } });
    for (let life = 0; life < 4; life++) {
      const node = `life-${life}`;
      const own = Array.from({ length: 8000 }, (_, at) => `pin-${life}-${at}`);
      pass(node, {
        NodeMessage: { event: 'birth', node, name: 'pi', boot: node, pins: own.map((name) => ({ name })) },
      });
      for (const name of own) pass(node, { IoMessage: { pin_name: name, val: 1, last_change: 1 } });
      pass(node, { NodeMessage: { event: 'leave', node, name: 'pi', boot: node, pins: [] } });
      names.push(...own);
    }
    expect(names.filter((name) => book.trend(name, 0).t.length > 0).length).toBeLessThanOrEqual(20_000);
    expect(book.trend(names.at(-1) ?? '', 0).v).toEqual([1]);
  });

  it('a node that is only heard through others is gone when it is silent, and forgotten after a day', async () => {
    const { hub, report, node, clock } = bench();
    node('birth', 'far', [{ name: 'gate' }]);
    report('gate', true);
    for (let beat = 0; beat < 6; beat++) {
      await clock.advance(5000);
      node('heartbeat', 'far', [{ name: 'gate' }]);
    }
    await clock.advance(14_000);
    expect(hub.state.pin('gate')).toMatchObject({ quality: 'good' });
    await clock.advance(4000);
    expect(hub.state.pin('gate')).toMatchObject({ quality: 'bad', reason: 'far is gone' });
    expect(hub.state.nodes()).toMatchObject([{ name: 'here' }, { name: 'far' }]);
    await clock.advance(25 * 3_600_000);
    expect(hub.state.nodes()).toMatchObject([{ name: 'here' }]);
    expect(hub.state.pins()).toEqual([]);
  });

  it('a report of an older program, or one that makes no sense, is shown as what it is', () => {
    const { hub, user } = bench();
    user.send({ IoMessage: { pin_name: 'old', val: 3, last_change: 1 } });
    user.send({ IoMessage: { pin_name: 'odd', val: [1], last_change: 1 } });
    expect(hub.state.pin('old')).toEqual({ name: 'old', val: 3, last_change: 1 });
    expect(hub.state.pin('odd')).toMatchObject({ val: null, quality: 'bad', reason: 'its report makes no sense' });
  });

  it('a bad value is a gap in the trend', async () => {
    const { hub, report, clock } = bench();
    const begun = clock.unix();
    for (const [val, quality] of [
      [1, 'good'],
      [2, 'good'],
      [2, 'bad'],
      [3, 'uncertain'],
    ] as const) {
      report('level', val, { quality });
      await clock.advance(1000);
    }
    expect(hub.state.trend('level', begun - 10)).toEqual({
      t: [begun, begun + 1, begun + 2, begun + 3],
      v: [1, 2, null, 3],
    });
    expect(hub.state.trend('level', begun + 1.5)).toEqual({
      t: [begun + 1.5, begun + 2, begun + 3],
      v: [2, null, 3],
    });
  });
});

describe('the processes on the bus', () => {
  it('are linked, relayed, lost or of v1, with what got lost on each link', () => {
    const node = (id: string, more: object = {}) => ({ id, name: `node ${id}`, pins: 1, heardS: 3, ...more });
    const link = (id: string, more: object = {}) => ({
      ...{ id, name: id, addresses: ['10.0.0.1'], open: true, forMs: 5000, encrypted: true, missed: 2, dropped: 7 },
      ...more,
    });
    const found = nodeStatuses('me', [node('me'), node('near'), node('far'), node('dead', { leftS: 9 })], {
      broker: true,
      peers: [link('near', { roundTripMs: 1.5 }), link('dead', { open: false })],
      v1Processes: [
        { id: 'old', silentMs: 4000 },
        { id: 'near', silentMs: 1 },
      ],
      counters: {},
    });
    expect(found).toMatchObject([
      { id: 'me', state: 'here', silent: 0 },
      { id: 'near', state: 'linked', since: 5, encrypted: true, round_trip_ms: 1.5, missed: 2, dropped: 7 },
      { id: 'far', state: 'relayed', silent: 3, missed: 0 },
      { id: 'dead', state: 'lost', since: 9, missed: 2, dropped: 7 },
      { id: 'old', name: 'old', state: 'v1', silent: 4 },
    ]);
  });
});

describe('a history', () => {
  it('tells every change within its time and size, whatever they are (property)', () => {
    const step = fc.record({ wait: fc.integer({ min: 1, max: 20 }), val: fc.integer({ min: 0, max: 3 }) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 300 }), (steps) => {
        const history = new ValueHistory(100_000);
        const all: [number, number][] = [];
        let at = 1000;
        for (const { wait, val } of steps) {
          at += wait;
          history.record(at, val);
          if (all.at(-1)?.[1] !== val) all.push([at, val]);
        }
        const { t, v } = history.since(0);
        // What stood at the beginning of its time stays, however old.
        const first = all.findIndex(([,], index) => (all[index + 1]?.[0] ?? at) >= at - 100);
        const got = t.map((time, index) => [time, v[index]]);
        return JSON.stringify(got.slice(-(all.length - first))) === JSON.stringify(all.slice(first));
      }),
    );
  });

  it('keeps no more than its limit, the newest', () => {
    const history = new ValueHistory(1e9);
    for (let change = 0; change < MAX_POINTS + 500; change++) history.record(change, change);
    const { t, v } = history.since(0);
    expect(t).toHaveLength(MAX_POINTS);
    expect([v.at(0), v.at(-1)]).toEqual([500, MAX_POINTS + 499]);
  });
});

describe('rights', () => {
  it.each([
    ['view', { UpdateIoMessage: {} }, true],
    ['view', { IoMessage: { pin_name: 'a', val: 1 } }, false],
    ['operate', { IoMessage: { pin_name: 'a', val: 1 } }, true],
    ['operate', { IoMessage: { pin_name: 'a', val: 1, last_change: 1 } }, false],
    ['operate', { IoMessage: { pin_name: 'a', val: 1 }, Other: {} }, false],
    ['operate', { SerialPortMessage: { port: 'a', data: '' } }, false],
    ['admin', { IoMessage: { pin_name: 'a', val: 1, last_change: 1 } }, true],
    ['admin', { Anything: {} }, true],
    ['admin', { WebSession: {} }, false],
  ] as const)('%s sending %j: %s', (role, payload, may) => {
    expect(denialReason(role, payload) === undefined).toBe(may);
  });
});

describe('patterns of names', () => {
  it('fit as a regular expression would say, in a bounded number of steps (property)', () => {
    const letters = fc.array(fc.constantFrom('a', 'b', '.', '*', '['), { maxLength: 12 }).map((all) => all.join(''));
    fc.assert(
      fc.property(letters, letters, (pattern, name) => {
        const escaped = pattern.replaceAll(/[.[\]]/g, '\\$&').replaceAll(/\*+/g, '.*');
        return namePattern(pattern)(name) === new RegExp(`^${escaped}$`, 's').test(name);
      }),
      { numRuns: 2000 },
    );
    // A regular expression of this would be at it for years.
    expect(namePattern('*a'.repeat(120))('a'.repeat(200))).toBe(true);
    expect(namePattern(`${'*a'.repeat(120)}*b`)('a'.repeat(200))).toBe(false);
  });
});

describe('the pace of a sender', () => {
  it('is bounded by reading it more slowly; a question to all pins counts as what it costs', async () => {
    const clock = new ManualClock();
    let reading = true;
    const pace = new ReadRateLimit(clock, { pause: () => (reading = false), resume: () => (reading = true) });
    let sent = 0;
    const flood = async (cost: number, ms: number) => {
      sent = 0;
      for (let at = 0; at < ms; at += 10) {
        for (let burst = 0; reading && burst < 100_000; burst++, sent++) pace.spend(cost);
        await clock.advance(10);
      }
      return sent;
    };
    expect(await flood(1, 10_000)).toBeLessThanOrEqual(12_100);
    await clock.advance(10_000);
    expect(await flood(costOf({ UpdateIoMessage: {} }), 10_000)).toBeLessThanOrEqual(62);
    expect(sent).toBeGreaterThan(50);
    expect(costOf({ UpdateIoMessage: { pin_name: 'a' } })).toBe(1);
    await clock.advance(10_000);
    expect(reading).toBe(true);
  });
});

describe('who commands', () => {
  it('is named by the node that has him; what comes from another process cannot pass for one of this', () => {
    const clock = new ManualClock();
    const nodes = new Nodes(clock, 'here', (id) => (id === 'socket' ? 'web/ali' : undefined));
    nodes.onNodeMessage({ event: 'birth', node: 'far', name: 'hall' });
    const from = (...sender: string[]) => nodes.senderOf({ sender, timestamp: 1, msg_id: 'x.1', payload: {} });
    expect(from('socket')).toEqual({ node: 'here', actor: 'web/ali' });
    expect(from('unknown')).toEqual({ node: 'here', actor: 'unknown' });
    expect(from('socket', 'far')).toEqual({ node: 'hall', actor: 'socket' });
    nodes.close();
  });
});

describe('a stream of events', () => {
  it('tells the state of however many pins, and never an event that nobody sent', async () => {
    const { host, report, log } = benchWith(systemClock);
    const web = new WebServer({ host: '127.0.0.1', port: 0, users: [], origins: [], historyMs: 1000 }, host);
    await web.start();
    const url = /http:\S+/.exec(log.lines.map(({ message }) => message).join())?.[0] ?? '';
    const note = 'x'.repeat(200);
    for (let pin = 0; pin < 6000; pin++) report(`pin-${pin}`, pin, { note });
    const id = 'evil\nevent: report\ndata: {"pin_name":"forged"}\n\n';
    const odd = {
      sender: [id],
      timestamp: 1,
      msg_id: `${id}.1`,
      payload: { IoMessage: { pin_name: 'odd', val: 1, last_change: 1 } },
    };
    host.bus.addTransport(() => undefined).inject(odd);
    const end = new AbortController();
    const response = await fetch(`${url}api/events`, { signal: end.signal });
    let text = '';
    const reading = (async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk);
    })().catch(() => undefined);
    await until('the last of the state', () => text.includes('"odd"'), 20_000);
    expect(text.match(/^event: report$/gm)).toHaveLength(6001);
    expect(text).not.toContain('forged');
    end.abort();
    await reading;
    web.stop();
  }, 40_000);

  it('that nobody reads is let go and counted', async () => {
    const { host, user, log } = benchWith(systemClock);
    const web = new WebServer({ host: '127.0.0.1', port: 0, users: [], origins: [], historyMs: 1000 }, host);
    await web.start();
    const url = new URL(/http:\S+/.exec(log.lines.map(({ message }) => message).join())?.[0] ?? '');
    const socket = connect(Number(url.port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const counters = async (): Promise<Record<string, number>> => {
      const answer = await fetch(new URL('/api/status', url));
      const status: { web: Record<string, number> } = JSON.parse(await answer.text());
      return status.web;
    };
    await until('the stream', async () => (await counters())['streams'] === 1);
    socket.pause();
    const note = 'x'.repeat(20_000);
    await until(
      'the end of patience',
      async () => {
        for (let burst = 0; burst < 50; burst++)
          user.send({ IoMessage: { pin_name: 'a', val: burst, last_change: 1, note } });
        const { streams_dropped: dropped, streams } = await counters();
        return dropped === 1 && streams === 0;
      },
      20_000,
    );
    socket.destroy();
    web.stop();
  }, 40_000);
});

describe('too many at once', () => {
  it('a browser that does not read misses messages, which are counted, and is told the state anew; others miss nothing', async () => {
    const { user, report, host, log } = benchWith(systemClock);
    const web = new WebServer({ host: '127.0.0.1', port: 0, users: [], origins: [], historyMs: 1000 }, host);
    await web.start();
    const url = /http:\S+/.exec(log.lines.map(({ message }) => message).join())?.[0] ?? '';
    const dial = () => {
      const socket = new WebSocket(`${url.replace('http', 'ws')}api/socket`);
      const sessions: unknown[] = [];
      const seen: { sessions: unknown[]; floods: number; last?: unknown } = { sessions, floods: 0 };
      socket.on('message', (data) => {
        const { payload } = JSON.parse(String(data));
        if (payload.WebSession) seen.sessions.push(payload.WebSession.missed);
        if (payload.Flood) seen.floods++;
        if (payload.IoMessage) seen.last = payload.IoMessage.val;
      });
      return { socket, seen };
    };
    const [slow, quick] = [dial(), dial()];
    await until('both', () => slow.seen.sessions.length + quick.seen.sessions.length === 2);
    slow.socket.pause();
    const text = 'x'.repeat(20_000);
    let sent = 0;
    const missed = async () => {
      const answer = await fetch(`${url}api/status`);
      const { web: counters }: { web: Record<string, number> } = JSON.parse(await answer.text());
      return counters['messages_dropped'] ?? 0;
    };
    await until(
      'the slow one to fall behind',
      async () => {
        for (let burst = 0; burst < 20; burst++, sent++) user.send({ Flood: { text } });
        // Less than may wait for a browser, so the quick one never falls behind.
        await until('the quick one', () => quick.seen.floods === sent);
        return (await missed()) > 0;
      },
      20_000,
    );
    report('level', 42);
    const dropped = await missed();
    slow.socket.resume();
    await until(
      'the state to be told anew',
      () => {
        user.send({ Tick: {} });
        return slow.seen.sessions.length > 1;
      },
      20_000,
    );
    expect(slow.seen.last).toBe(42);
    expect(Number(slow.seen.sessions[1])).toBeGreaterThanOrEqual(dropped);
    expect(quick.seen.sessions).toEqual([0]);
    slow.socket.terminate();
    quick.socket.terminate();
    web.stop();
  }, 60_000);

  it('password checks are bounded: the third at a time is asked to come back', async () => {
    const { host } = bench();
    const users = [{ name: 'ali', role: 'view' as const, token: 'sha256:00' }];
    const keeper = new Authenticator({ host: '127.0.0.1', port: 1, users, origins: [], historyMs: 1 }, host);
    const request = new IncomingMessage(new Socket());
    const tries = await Promise.allSettled([1, 2, 3].map(() => keeper.login('ali', 'x', request)));
    const codes = tries.map((one) => (one.status === 'rejected' ? Reflect.get(one.reason, 'status') : 200));
    expect(codes.sort()).toEqual([401, 401, 503]);
  });
});
