import { expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Router } from '../../src/mesh/routing/router.ts';
import { newStats } from '../../src/mesh/stats.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import { memoryLog } from '../support/ports.ts';

function envelope(creator: string, serial: number): Envelope {
  return { sender: [creator, 'peer1'], timestamp: 0, msg_id: `${creator}.${serial}`, payload: { Ping: {} } };
}

it('a message in the name of an actor of this process comes from nobody else, whether or not it was ever sent', () => {
  const bus = new Bus();
  const pump = new Actor('pump');
  const attachment = bus.join(pump);
  const router = new Router(bus, 'node1', newStats(), memoryLog());
  pump.send({ Ping: {} });
  for (const serial of [0, 999]) expect(router.isDuplicate(envelope(pump.id, serial), 'peer1')).toBe(true);
  expect(router.isDuplicate(envelope('node1', 5), 'peer1')).toBe(true);
  expect(router.stats.duplicates).toBe(3);
  expect(router.isDuplicate(envelope('other', 0), 'peer1')).toBe(false);
  expect(router.isDuplicate(envelope('other', 0), 'peer1')).toBe(true);
  attachment.detach();
  bus.close();
});
