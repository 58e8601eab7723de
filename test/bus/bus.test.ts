import { describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { INBOX_LIMIT } from '../../src/bus/inbox.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import { until } from '../support/wait.ts';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

function remote(payload: Record<string, unknown>, id = 'rem0t.1'): Envelope {
  return { sender: [id.split('.')[0] ?? '', 'prxy1'], timestamp: 1, msg_id: id, payload };
}

describe('local bus', () => {
  it('routes by subject and by pin name, and gives the catch-all the envelope', async () => {
    const bus = new Bus();
    const [sender, listener] = [new Actor('s'), new Actor('l')];
    const seen: unknown[] = [];
    listener.on('Ping', (data) => void seen.push(['subject', data]));
    listener.onPin('door', (message) => void seen.push(['pin', message.val]));
    listener.onAny(({ msg_id }) => void seen.push(['any', msg_id]));
    bus.join(sender);
    bus.join(listener);
    sender.send({ Ping: { n: 1 } });
    sender.send({ IoMessage: { pin_name: 'door', val: true } });
    sender.send({ IoMessage: { pin_name: 'window', val: true } });
    await tick();
    expect(seen).toEqual([
      ['subject', { n: 1 }],
      ['any', `${sender.id}.0`],
      ['pin', true],
      ['any', `${sender.id}.1`],
      ['any', `${sender.id}.2`],
    ]);
  });

  it('a sender never receives its own message, also when it comes back from outside', async () => {
    const bus = new Bus();
    const actor = new Actor('echo');
    let count = 0;
    actor.onAny(() => void count++);
    bus.join(actor);
    const link = bus.addTransport(() => {});
    const sent = actor.send({ Ping: {} });
    link.inject(sent);
    await tick();
    expect(count).toBe(0);
  });

  it('handlers of one actor never overlap and keep the order of arrival', async () => {
    const bus = new Bus();
    const [sender, slow] = [new Actor('s'), new Actor('slow')];
    const log: string[] = [];
    slow.on('Job', async (data) => {
      log.push(`begin ${data}`);
      await tick();
      log.push(`end ${data}`);
    });
    bus.join(sender);
    bus.join(slow);
    for (const n of [1, 2, 3]) sender.send({ Job: n });
    await until('the last job', () => log.includes('end 3'));
    expect(log).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3']);
  });

  it('neither the sender nor a receiver can change a sent message', async () => {
    const bus = new Bus();
    const [sender, listener] = [new Actor('s'), new Actor('l')];
    const seen: unknown[] = [];
    listener.on('List', (data) => void seen.push(data));
    bus.join(sender);
    bus.join(listener);
    const list = [1, { deep: [2] }];
    sender.send({ List: list });
    list.push(3);
    await tick();
    expect(seen).toEqual([[1, { deep: [2] }]]);
    expect(() => Array.isArray(seen[0]) && seen[0].push(4)).toThrow(TypeError);
  });

  it('two actors that answer each other for ever do not starve the event loop', async () => {
    const bus = new Bus();
    const [a, b] = [new Actor('a'), new Actor('b')];
    let count = 0;
    a.on('Pong', () => void (++count < 1e6 && a.send({ Ping: {} })));
    b.on('Ping', () => void b.send({ Pong: {} }));
    bus.join(a);
    bus.join(b);
    a.send({ Ping: {} });
    await tick();
    await tick();
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(1e6);
    count = 1e6;
  });

  it('bounds an inbox by dropping the oldest, and counts it', async () => {
    const bus = new Bus();
    const [sender, stuck] = [new Actor('s'), new Actor('stuck')];
    const seen: unknown[] = [];
    let release = () => {};
    stuck.on('Job', (data) => {
      seen.push(data);
      return seen.length === 1 ? new Promise<void>((resolve) => (release = resolve)) : undefined;
    });
    bus.join(sender);
    bus.join(stuck);
    sender.send({ Job: 'first' });
    await tick();
    for (let n = 0; n < INBOX_LIMIT + 5; n++) sender.send({ Job: n });
    expect(bus.stats.inboxDrops).toBe(5);
    release();
    await until('the backlog', () => seen.length === INBOX_LIMIT + 1);
    expect(seen[1]).toBe(5);
    expect(seen.at(-1)).toBe(INBOX_LIMIT + 4);
  });

  it('a request gets one answer, from this process or from outside', async () => {
    const bus = new Bus();
    const [asker, pin] = [new Actor('asker'), new Actor('pin')];
    pin.onPin('lamp', (message, { msg_id }) => {
      pin.send({ IoMessage: { pin_name: 'lamp', val: message.val, last_change: 1, reply_to: msg_id } });
    });
    bus.join(asker);
    bus.join(pin);
    const answer = await asker.request({ IoMessage: { pin_name: 'lamp', val: true } });
    expect(answer.payload).toMatchObject({ IoMessage: { val: true } });

    const link = bus.addTransport(({ msg_id, payload }) => {
      if ('IoMessage' in payload && msg_id.startsWith(asker.id)) {
        link.inject(
          remote({ IoErrorMessage: { pin_name: 'far', code: 'READ_ONLY', message: 'no', reply_to: msg_id } }),
        );
      }
    });
    const refused = asker.request({ IoMessage: { pin_name: 'far', val: 1 } });
    await expect(refused).rejects.toMatchObject({ code: 'READ_ONLY', message: 'no' });
  });

  it('a request without an answer ends at its deadline, and at the end of the bus', async () => {
    const clock = new ManualClock();
    const bus = new Bus({ clock });
    const asker = new Actor('asker');
    bus.join(asker);
    const first = asker.request({ IoMessage: { pin_name: 'x', val: 1 } }, { timeoutMs: 100 });
    const ended = expect(first).rejects.toMatchObject({ code: 'TIMEOUT' });
    await clock.advance(100);
    await ended;
    const second = asker.request({ IoMessage: { pin_name: 'x', val: 1 } });
    bus.close();
    await expect(second).rejects.toMatchObject({ code: 'STOPPED' });
    expect(clock.pending).toBe(0);
  });

  it('a detached actor can neither send nor request', async () => {
    const bus = new Bus();
    const [old, pin] = [new Actor('old'), new Actor('pin')];
    const heard: unknown[] = [];
    pin.onPin('lamp', ({ val }) => {
      heard.push(val);
    });
    bus.join(pin);
    // As one whose handler hung while it was restarted, and goes on now.
    bus.join(old).detach();
    expect(() => old.send({ IoMessage: { pin_name: 'lamp', val: 1 } })).toThrow(/not on the bus any more/);
    await expect(old.request({ IoMessage: { pin_name: 'lamp', val: 2 } }, { timeoutMs: 10 })).rejects.toMatchObject({
      code: 'STOPPED',
    });
    expect(heard).toEqual([]);
  });

  it('drops and counts a malformed message from outside, and refuses one from a local actor', () => {
    const bus = new Bus();
    const actor = new Actor('a');
    bus.join(actor);
    const link = bus.addTransport(() => {});
    expect(link.inject(remote({ IoMessage: { val: 1 } }))).toBe(false);
    expect(link.inject(remote({ IoMessage: 'x' }))).toBe(false);
    expect(bus.stats.malformed).toBe(2);
    expect(() => actor.send({ IoMessage: { val: 1 } })).toThrow(DcsError);
  });

  it('a transport gets every message but its own', async () => {
    const bus = new Bus();
    const actor = new Actor('a');
    bus.join(actor);
    const [one, two]: [string[], string[]] = [[], []];
    const first = bus.addTransport(({ msg_id }) => void one.push(msg_id));
    bus.addTransport(({ msg_id }) => void two.push(msg_id));
    first.inject(remote({ Ping: {} }, 'far00.7'));
    actor.send({ Ping: {} });
    expect(one).toEqual([`${actor.id}.0`]);
    expect(two).toEqual(['far00.7', `${actor.id}.0`]);
  });

  it('due work precedes waiting messages, and a full inbox never drops it', async () => {
    const clock = new ManualClock();
    const bus = new Bus({ clock });
    const [sender, pump] = [new Actor('s'), new Actor('pump')];
    const did: string[] = [];
    let finish: (() => void) | undefined;
    pump.on('Run', () => {
      pump.after(100, () => void did.push('pulse ended'));
      return new Promise<void>((resolve) => {
        finish = resolve;
      });
    });
    pump.on('Chat', () => void did.push('chat'));
    bus.join(sender);
    bus.join(pump);
    sender.send({ Run: {} });
    await tick();
    for (let n = 0; n < INBOX_LIMIT + 10; n++) sender.send({ Chat: n });
    await clock.advance(100);
    for (let n = 0; n < INBOX_LIMIT; n++) sender.send({ Chat: n });
    finish?.();
    await until('every message that was kept', () => did.length === INBOX_LIMIT + 1);
    expect(did[0]).toBe('pulse ended');
  });

  it('periodic work keeps its rate, runs in inbox order and never twice at once', async () => {
    const clock = new ManualClock();
    const bus = new Bus({ clock });
    const actor = new Actor('plc');
    let runs = 0;
    let release: (() => void) | undefined;
    actor.every(10, () => {
      runs++;
      return runs === 3 ? new Promise<void>((resolve) => (release = resolve)) : undefined;
    });
    bus.join(actor);
    await clock.advance(25);
    expect(runs).toBe(2);
    await clock.advance(50);
    expect(runs).toBe(3);
    release?.();
    await clock.advance(10);
    expect(runs).toBe(4);
  });
});
