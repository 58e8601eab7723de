import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { namePattern } from '../../src/message/name-pattern.ts';
import { Nodes } from '../../src/output/nodes.ts';
import { nodeStatuses } from '../../src/web/api/status.ts';
import { BusBridge } from '../../src/web/live/bus-bridge.ts';
import { BusState, MAX_POINTS, ValueHistory } from '../../src/web/live/bus-state.ts';
import { costOf, denialReason, ReadRateLimit } from '../../src/web/live/websockets.ts';
import { until } from '../support/wait.ts';
import { bareHost } from './web-server.ts';

function setUp() {
  const clock = new ManualClock();
  const host = bareHost(clock);
  const user = new Actor('user');
  host.bus.join(user);
  const bridge = new BusBridge(host, new BusState(clock, 60_000));
  bridge.start();
  const report = (pin_name: string, val: unknown, more: object = {}) =>
    user.send({ IoMessage: { pin_name, val, last_change: 1, quality: 'good', ...more } });
  const node = (event: string, name: string, pins: object[] = []) =>
    user.send({ NodeMessage: { event, node: `id-${name}`, name, boot: 'b', pins } });
  return { clock, user, bridge, report, node };
}

describe('BusState', () => {
  it('the snapshot has the nodes first, then the last report of each pin, unchanged', () => {
    const { bridge, report, node } = setUp();
    node('birth', 'hall', [{ name: 'door', kind: 'digital', direction: 'in' }]);
    report('door', true);
    const last = report('door', false, { note: 'kept' });
    const [me, hall, ...reports] = [...bridge.state.snapshot()];
    expect(me?.payload['NodeMessage']).toMatchObject({ name: 'here' });
    expect(hall?.payload['NodeMessage']).toMatchObject({ name: 'hall' });
    expect(reports).toEqual([last]);
  });

  it('pins of a node that has left are bad for all clients, new ones too, until it is back', () => {
    const { bridge, report, node, user } = setUp();
    const received: unknown[] = [];
    node('birth', 'hall', [{ name: 'door', kind: 'digital', direction: 'in' }]);
    report('door', true);
    report('other', true);
    expect(bridge.state.pin('door')).toMatchObject({ node: 'hall', val: true, quality: 'good' });
    bridge.subscribe(({ payload }) => received.push(payload['IoMessage'] ?? payload['NodeMessage']));
    node('leave', 'hall');
    const bad = { quality: 'bad', reason: 'hall is gone' };
    expect(bridge.state.pin('door')).toMatchObject({ node: 'hall', val: true, ...bad });
    expect(received).toMatchObject([{ event: 'leave' }, { pin_name: 'door', ...bad }]);
    const found = [...bridge.state.snapshot()].map(({ payload }) => payload['NodeMessage'] ?? payload['IoMessage']);
    expect(found).toMatchObject([
      { name: 'here' },
      { name: 'hall', event: 'birth' },
      { name: 'hall', event: 'leave' },
      { pin_name: 'door', ...bad },
      { pin_name: 'other', quality: 'good' },
    ]);
    expect(bridge.state.nodes()).toMatchObject([{ name: 'here' }, { name: 'hall', leftS: 0 }]);
    // Restarted: with a new id and without the old pin.
    user.send({ NodeMessage: { event: 'birth', node: 'id-2', name: 'hall', boot: 'c', pins: [{ name: 'gate' }] } });
    expect(bridge.state.nodes().map(({ id }) => id)).toEqual(['me', 'id-2']);
    expect(bridge.state.pins().map(({ name }) => name)).toEqual(['gate', 'other']);
  });

  it('after a short disconnection, pins of a node without a new report are queried', async () => {
    const { bridge, report, node, user } = setUp();
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
    await until('the question', () => bridge.state.pin('door')?.quality === 'good');
    expect(asked).toEqual([{ pin_name: 'door' }]);
    expect(bridge.state.pin('gate')).toMatchObject({ val: false, quality: 'good' });
  });

  it('of two nodes with one name, the pins of the one that leaves are bad and stay bad while the other runs', async () => {
    const { bridge, report, user } = setUp();
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
    const received: unknown[] = [];
    bridge.subscribe(({ payload }) => received.push(payload['IoMessage']));
    say('leave', 'one');
    const bad = { val: 1, quality: 'bad', reason: 'pi is gone' };
    expect(received).toMatchObject([undefined, { pin_name: 'pressure', ...bad }, { pin_name: 'shared', ...bad }]);
    say('heartbeat', 'two', 'level', 'shared');
    expect(bridge.state.pin('pressure')).toMatchObject(bad);
    expect(bridge.state.pin('level')).toMatchObject({ val: 1, quality: 'good' });
    await expect.poll(() => asked).toEqual([{ pin_name: 'shared' }]);
    // A restarted node replaces the one that has left.
    say('birth', 'three', 'pressure');
    expect(bridge.state.nodes().map(({ id }) => id)).toEqual(['me', 'two', 'three']);
  });

  it('the number of histories is limited when nodes with other pins come and go', () => {
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

  it('a relayed node times out when it is silent, and is removed after a day', async () => {
    const { bridge, report, node, clock } = setUp();
    node('birth', 'far', [{ name: 'gate' }]);
    report('gate', true);
    for (let beat = 0; beat < 6; beat++) {
      await clock.advance(5000);
      node('heartbeat', 'far', [{ name: 'gate' }]);
    }
    await clock.advance(14_000);
    expect(bridge.state.pin('gate')).toMatchObject({ quality: 'good' });
    await clock.advance(4000);
    expect(bridge.state.pin('gate')).toMatchObject({ quality: 'bad', reason: 'far is gone' });
    expect(bridge.state.nodes()).toMatchObject([{ name: 'here' }, { name: 'far' }]);
    await clock.advance(25 * 3_600_000);
    expect(bridge.state.nodes()).toMatchObject([{ name: 'here' }]);
    expect(bridge.state.pins()).toEqual([]);
  });

  it('a report of an older program is shown without quality, a malformed one as bad', () => {
    const { bridge, user } = setUp();
    user.send({ IoMessage: { pin_name: 'old', val: 3, last_change: 1 } });
    user.send({ IoMessage: { pin_name: 'odd', val: [1], last_change: 1 } });
    expect(bridge.state.pin('old')).toEqual({ name: 'old', val: 3, last_change: 1 });
    expect(bridge.state.pin('odd')).toMatchObject({ val: null, quality: 'bad', reason: 'its report makes no sense' });
  });

  it('a bad value is a gap in the history', async () => {
    const { bridge, report, clock } = setUp();
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
    expect(bridge.state.trend('level', begun - 10)).toEqual({
      t: [begun, begun + 1, begun + 2, begun + 3],
      v: [1, 2, null, 3],
    });
    expect(bridge.state.trend('level', begun + 1.5)).toEqual({
      t: [begun + 1.5, begun + 2, begun + 3],
      v: [2, null, 3],
    });
  });
});

describe('nodeStatuses', () => {
  it('are here, linked, relayed, lost or v1, with the messages lost on each connection', () => {
    const node = (id: string, more: object = {}) => ({ id, name: `node ${id}`, pins: 1, silentS: 3, ...more });
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

describe('ValueHistory', () => {
  it('returns every change within its age and size limits (property)', () => {
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
        // The change before the age limit stays: it holds the first value of the period.
        const first = all.findIndex(([,], index) => (all[index + 1]?.[0] ?? at) >= at - 100);
        const got = t.map((time, index) => [time, v[index]]);
        return JSON.stringify(got.slice(-(all.length - first))) === JSON.stringify(all.slice(first));
      }),
    );
  });

  it('keeps the newest changes up to its limit', () => {
    const history = new ValueHistory(1e9);
    for (let change = 0; change < MAX_POINTS + 500; change++) history.record(change, change);
    const { t, v } = history.since(0);
    expect(t).toHaveLength(MAX_POINTS);
    expect([v.at(0), v.at(-1)]).toEqual([500, MAX_POINTS + 499]);
  });
});

describe('denialReason', () => {
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
  ] as const)('%s may send %j: %s', (role, payload, may) => {
    expect(denialReason(role, payload) === undefined).toBe(may);
  });
});

describe('namePattern', () => {
  it('matches like the regular expression, in a bounded number of steps (property)', () => {
    const letters = fc.array(fc.constantFrom('a', 'b', '.', '*', '['), { maxLength: 12 }).map((all) => all.join(''));
    fc.assert(
      fc.property(letters, letters, (pattern, name) => {
        const escaped = pattern.replaceAll(/[.[\]]/g, '\\$&').replaceAll(/\*+/g, '.*');
        return namePattern(pattern)(name) === new RegExp(`^${escaped}$`, 's').test(name);
      }),
      { numRuns: 2000 },
    );
    // A backtracking regular expression would take years.
    expect(namePattern('*a'.repeat(120))('a'.repeat(200))).toBe(true);
    expect(namePattern(`${'*a'.repeat(120)}*b`)('a'.repeat(200))).toBe(false);
  });
});

describe('ReadRateLimit', () => {
  it('limits a client by pausing reads; a query to all pins counts with its cost', async () => {
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

describe('the sender of a command', () => {
  it('is named by its own node; a message of another process cannot impersonate a local sender', () => {
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
