import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Dealer } from 'zeromq';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import type { Mesh } from '../../src/mesh/mesh.ts';
import { loneMesh } from './support/lone-mesh.ts';

/** A peer whose frames the test writes by hand. */
class HandmadePeer {
  readonly frames: Record<string, unknown>[] = [];
  readonly #dealer = new Dealer({ linger: 0 });
  #serial = 0;

  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  static async of(mesh: Mesh, id = 'HandX'): Promise<HandmadePeer> {
    const peer = new HandmadePeer(id);
    peer.#dealer.connect(`tcp://127.0.0.1:${mesh.address.port}`);
    const info = { id, name: 'handmade', boot: 'b', machine: 'elsewhere', addresses: [], port: 1 };
    const want = { all: true, subjects: [], pins: [] };
    await peer.say({ hello: { ...info, server: { rx: 1, tx: 2 } }, t: 0, want, near: [] });
    void (async () => {
      for await (const [frame] of peer.#dealer) peer.frames.push(JSON.parse(String(frame)));
    })();
    await expect.poll(() => peer.frames.some((frame) => 'welcome' in frame)).toBe(true);
    return peer;
  }

  async say(frame: object): Promise<void> {
    await this.#dealer.send(JSON.stringify(frame));
  }

  message(payload: object): { msg_id: string } {
    return { ...{ sender: ['Actor', this.id], timestamp: 1, payload }, msg_id: `Actor.${this.#serial++}` };
  }

  command(val: number, more: object = {}): { msg_id: string } {
    return this.message({ IoMessage: { pin_name: 'pump', val, ...more } });
  }

  /** The messages it was sent, with this subject. */
  got(subject: string): Record<string, unknown>[] {
    return this.frames
      .flatMap(({ m }) => (Array.isArray(m) ? m : []))
      .flatMap(({ payload }) => (subject in payload ? [payload[subject]] : []));
  }

  close(): void {
    this.#dealer.close();
  }
}

let bus: Bus;
let mesh: Mesh;
let peer: HandmadePeer;
let executed: unknown[];
let gaps: number[];

beforeEach(async () => {
  bus = new Bus();
  executed = [];
  gaps = [];
  const pump = new Actor('pump');
  pump.onPin('pump', ({ val }) => void executed.push(val));
  bus.join(pump);
  ({ mesh } = await loneMesh(bus));
  mesh.on('gap', (_peer, missed) => gaps.push(missed));
  await mesh.start();
  peer = await HandmadePeer.of(mesh);
});

afterEach(async () => {
  peer.close();
  await mesh.stop();
});

describe('a command', () => {
  it('that was queued on its way for longer than 2 s, or than its ttl, is not carried out, and its sender is told', async () => {
    // The sender's clock says when each frame left; the first took no time.
    const [fresh, late, tooLate, old] = [
      peer.command(1),
      peer.command(2, { ttl: 5 }),
      peer.command(3, { ttl: 0.5 }),
      peer.command(4),
    ];
    await peer.say({ s: 0, t: 100_000, m: [fresh] });
    await expect.poll(() => executed).toEqual([1]);
    await peer.say({ s: 1, t: 99_000, m: [late, tooLate] });
    await peer.say({ s: 3, t: 97_000, m: [old] });
    await expect.poll(() => peer.got('IoErrorMessage')).toHaveLength(2);
    expect(executed).toEqual([1, 2]);
    expect(peer.got('IoErrorMessage')).toMatchObject([
      { code: 'EXPIRED', reply_to: tooLate.msg_id, pin_name: 'pump' },
      { code: 'EXPIRED', reply_to: old.msg_id, pin_name: 'pump' },
    ]);
    expect(mesh.stats.stale).toBe(2);
  });

  it('that comes twice is carried out once', async () => {
    const [twice, after] = [peer.command(1), peer.command(2)];
    await peer.say({ s: 0, t: 1, m: [twice] });
    await peer.say({ s: 1, t: 1, m: [twice, after] });
    await expect.poll(() => executed).toContain(2);
    expect(executed).toEqual([1, 2]);
    expect(mesh.stats.duplicates).toBe(1);
  });
});

describe('a report', () => {
  it('is delivered however late it comes: it is the state, until a newer one comes', async () => {
    await peer.say({
      s: 0,
      t: 100_000,
      m: [peer.message({ IoMessage: { pin_name: 'pump', val: 1, last_change: 1 } })],
    });
    await peer.say({ s: 1, t: 90_000, m: [peer.message({ IoMessage: { pin_name: 'pump', val: 2, last_change: 2 } })] });
    await expect.poll(() => executed).toEqual([1, 2]);
  });
});

describe('the processes a node says it reaches directly', () => {
  const near = () => peer.frames.findLast(({ near: ids }) => ids !== undefined)?.['near'];

  it('do not include a caller before its first frame: others would pass on nothing more of it', async () => {
    await peer.say({ s: 0, t: 1 });
    await expect.poll(near).toEqual(['HandX']);
    const other = await HandmadePeer.of(mesh, 'HandY');
    // A hello repeated because our answer has not arrived does not count.
    await other.say({ hello: {} });
    const third = await HandmadePeer.of(mesh, 'HandZ');
    await third.say({ s: 0, t: 1 });
    await expect.poll(near).toEqual(['HandX', 'HandZ']);
    await other.say({ s: 0, t: 1 });
    await expect.poll(near).toEqual(['HandX', 'HandY', 'HandZ']);
    other.close();
    third.close();
  });
});

describe('messages that were lost', () => {
  it('are counted, reported and followed by a request for the last reports', async () => {
    await peer.say({ s: 0, t: 1, m: [peer.command(1)] });
    await peer.say({ s: 5, t: 1, m: [peer.command(2)] });
    await expect.poll(() => gaps).toEqual([4]);
    expect(mesh.stats.missed).toBe(4);
    await expect.poll(() => peer.frames.filter(({ sync }) => sync === true)).toHaveLength(1);
    expect(executed).toEqual([1, 2]);
  });

  it('at the end are noticed by the next heartbeat', async () => {
    await peer.say({ s: 3, t: 1 });
    await expect.poll(() => gaps).toEqual([3]);
  });

  it('are not confused with serial numbers that go back: such a frame is malformed', async () => {
    await peer.say({ s: 5, t: 1, m: [peer.command(1)] });
    await peer.say({ s: 0, t: 1, m: [peer.command(2)] });
    await peer.say({ s: 6, t: 1, m: [peer.command(3)] });
    await expect.poll(() => executed).toEqual([1, 3]);
    expect(mesh.stats.malformed).toBe(1);
  });

  it('are made up for by the last reports, which a peer can ask for', async () => {
    const lamp = new Actor('lamp');
    bus.join(lamp);
    lamp.send({ IoMessage: { pin_name: 'lamp', val: 'lit', last_change: 7 } });
    await expect.poll(() => peer.got('IoMessage')).toHaveLength(1);
    await peer.say({ sync: true });
    await expect.poll(() => peer.got('IoMessage')).toHaveLength(2);
    expect(peer.got('IoMessage')[1]).toMatchObject({ val: 'lit', last_change: 7 });
  });
});
