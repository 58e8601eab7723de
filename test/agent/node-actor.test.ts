import { describe, expect, it } from 'vitest';
import { NodeActor } from '../../src/agent/node-actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { Nodes } from '../../src/output/nodes.ts';

const clock = new ManualClock();
const bus = new Bus({ clock });
const nodes = new Nodes(clock, 'here', () => undefined);
bus.join(new NodeActor('here', nodes, () => undefined));
const link = bus.addTransport(() => undefined);
let serial = 0;

async function says(sender: string[], event: string): Promise<boolean[]> {
  const seen: boolean[] = [];
  const end = nodes.watch('hall', (present) => void seen.push(present));
  const payload = { NodeMessage: { event, node: 'HallX', name: 'hall', boot: 'b', pins: [] } };
  link.inject({ sender, timestamp: 1, msg_id: `${sender[0]}.${serial++}`, payload });
  await clock.advance(0);
  end();
  return seen;
}

describe('the node that controls an output', () => {
  it('is present or has left by its own messages only: no other node keeps its outputs on or switches them off', async () => {
    expect(await says(['HallX', 'HallX'], 'birth')).toEqual([true]);
    expect(await says(['Actor', 'Guest'], 'leave')).toEqual([true]);
    expect(await says(['HallX', 'Guest'], 'leave')).toEqual([true]);
    // Passed on by another node, it is still its own word.
    expect(await says(['HallX', 'HallX', 'Relay'], 'leave')).toEqual([true, false]);
    await clock.advance(20_000);
    expect(await says(['Actor', 'Guest'], 'heartbeat')).toEqual([false]);
    expect(await says(['HallX'], 'heartbeat')).toEqual([false, true]);
    nodes.close();
  });
});
