import { describe, expect, it } from 'vitest';
import { Publisher } from 'zeromq';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import { loneMesh } from './support/lone-mesh.ts';

const report = (msg_id: string, pin_name = 'lamp'): Envelope => ({
  sender: [msg_id.split('.')[0] ?? '', 'node'],
  timestamp: 0,
  msg_id,
  payload: { IoMessage: { pin_name, val: true, last_change: 1 } },
});
const command = (msg_id: string): Envelope => ({
  ...report(msg_id),
  payload: { IoMessage: { pin_name: 'lamp', val: true } },
});

describe('a node', () => {
  it('does not deliver a stale report, and counts it', async () => {
    const bus = new Bus();
    const { mesh, rx } = await loneMesh(bus);
    const heard: string[] = [];
    const actor = new Actor('listener');
    actor.onAny(({ msg_id }) => {
      heard.push(msg_id);
    });
    bus.join(actor);
    await mesh.start();
    const old = new Publisher({ linger: 0 });
    try {
      old.connect(`tcp://127.0.0.1:${rx}`);
      await expect
        .poll(async () => {
          await old.send(JSON.stringify(report('Old23.3')));
          return heard.length;
        })
        .toBe(1);
      for (const message of [report('Old23.2'), command('Old23.1'), report('Old23.4')])
        await old.send(JSON.stringify(message));
      await expect.poll(() => heard).toEqual(['Old23.3', 'Old23.1', 'Old23.4']);
      expect(mesh.stats.overtaken).toBe(1);
    } finally {
      old.close();
      await mesh.stop();
    }
  });
});
