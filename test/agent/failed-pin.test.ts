import { describe, expect, it } from 'vitest';
import { Agent } from '../../src/agent/agent.ts';
import { Actor } from '../../src/bus/actor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { configOf } from '../config/fakes.ts';
import { memoryLog } from '../support/ports.ts';

const CONFIG = `
bus: { enabled: false }
guardian: off
ports: { sim: { driver: mock } }
pins:
  lamp: { port: sim, channel: lamp, direction: out, initial: off, safe: off }
  pump: { port: sim, channel: pump, direction: out, initial: off, safe: off }
`;

describe('a pin whose own code keeps failing', () => {
  it('is given up after the limit, reports that, refuses commands, and the rest runs on', async () => {
    const clock = new ManualClock();
    const agent = new Agent(configOf(CONFIG), { log: memoryLog(), clock });
    await agent.start();
    const user = new Actor('user');
    agent.bus.join(user);
    const set = async (pin_name: string) => {
      const answer = user.request({ IoMessage: { pin_name, val: true } });
      const settled = answer.then(
        ({ payload }) => payload['IoMessage'],
        ({ code }: { code: string }) => code,
      );
      await clock.advance(0);
      return settled;
    };
    const output = agent.table.get('lamp')?.output;
    if (!output) throw new Error('no output');
    output.apply = () => {
      throw new Error('a defect');
    };
    for (let time = 0; time < 5; time++) {
      await set('lamp');
      agent.table.notifyWatchers('lamp');
    }
    await clock.advance(300_000);
    expect(await set('lamp')).toBe('FAILED');
    expect(await set('pump')).toMatchObject({ val: true });
    const reports: unknown[] = [];
    user.onReport('lamp', (report) => void reports.push(report));
    user.send({ UpdateIoMessage: {} });
    await clock.advance(0);
    expect(reports).toMatchObject([{ quality: 'bad', reason: expect.stringContaining('FAILED: it keeps failing') }]);
    const stopped = agent.stop();
    await clock.advance(5000);
    await stopped;
  });
});
