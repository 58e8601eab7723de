import { expect, it } from 'vitest';
import { MockDevice } from '../../drivers/mock/device.ts';
import { createMock, mockOptions } from '../../drivers/mock/driver.ts';
import { Agent } from '../../src/agent/agent.ts';
import { sleep } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { configOf } from '../config/fakes.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

const CONFIG = `
bus: { enabled: false }
guardian: off
ports: { sim: { driver: mock } }
pins:
  lamp: { port: sim, channel: lamp, direction: out, initial: on, safe: off, on_loss: rewrite }
`;

/** An agent on hardware that takes 50 ms to open. */
function agentOn(hardware: MockDevice, clock: ManualClock): Agent {
  const driver = createMock(hardware);
  const { open } = driver;
  driver.open = async (...given) => {
    await sleep(clock, 50);
    return open(...given);
  };
  const config = configOf(CONFIG);
  const ports = config.ports.map((port) => ({ ...port, driver, options: mockOptions() }));
  return new Agent({ ...config, ports }, { log: memoryLog(), clock });
}

it('an agent that is stopped during its start leaves no output on, at any moment', async () => {
  const seen: unknown[] = [];
  for (let turns = 0; turns < 60; turns++) {
    const clock = new ManualClock();
    const hardware = new MockDevice();
    const agent = agentOn(hardware, clock);
    const started = agent.start();
    for (let turn = 0; turn < turns; turn++) await (turn % 3 === 2 ? clock.advance(1) : Promise.resolve());
    const stopped = agent.stop();
    await clock.advance(5000);
    await Promise.all([started, stopped]);
    seen.push(hardware.writes.map(({ value }) => value).join());
    expect(hardware.get('lamp')).toBe(false);
  }
  // Before the port was opened, and after.
  expect(new Set(seen)).toEqual(new Set(['', 'true,false']));
});

it('an agent that is stopped while a port comes back leaves no output on', async () => {
  const clock = new ManualClock();
  const hardware = new MockDevice();
  const agent = agentOn(hardware, clock);
  const started = agent.start();
  await clock.advance(1000);
  await started;
  hardware.unplug();
  await clock.advance(10);
  hardware.plug();
  expect(hardware.get('lamp')).toBe(true);
  await until('the opening', async () => {
    await clock.advance(10);
    return agent.ports.get('sim')?.state === 'opening';
  });
  const stopped = agent.stop();
  await clock.advance(5000);
  await stopped;
  expect(hardware.get('lamp')).toBe(false);
});
