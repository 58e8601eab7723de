import { describe, expect, it } from 'vitest';
import { MockDevice } from '../../drivers/mock/device.ts';
import { createMock } from '../../drivers/mock/driver.ts';
import { Agent } from '../../src/agent/agent.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { loadConfigText } from '../../src/config/load.ts';
import type { Driver } from '../../src/driver/contract.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

const CONFIG = `
node: tested
guardian: off
bus: { enabled: false }
ports: { sim: { driver: mock } }
pins: { lamp: { port: sim, channel: lamp, direction: out, initial: true, safe: false } }
`;

function agentOn(hardware: MockDevice, opening: () => Promise<void> = () => Promise.resolve()) {
  const mock = createMock(hardware);
  const open: typeof mock.open = async (...how) => {
    await opening();
    return mock.open(...how);
  };
  const driver: Driver = { ...mock, open };
  const loaded = loadConfigText(CONFIG, 'dcs-io.yaml', { drivers: [driver], mock: false });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded));
  return new Agent(loaded.config, { log: memoryLog(), clock: new ManualClock() });
}

describe('an agent that is stopped during its start', () => {
  it('leaves no output at its initial value, at any step of the start', async () => {
    const left: number[] = [];
    for (let turns = 0; turns < 60; turns++) {
      const hardware = new MockDevice();
      const agent = agentOn(hardware);
      const started = agent.start().catch(() => undefined);
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      await agent.stop();
      await started;
      if (hardware.get('lamp') !== false) left.push(turns);
    }
    expect(left).toEqual([]);
  });

  it('leaves no output at an initial value that was under way as a port opened', async () => {
    const hardware = new MockDevice();
    let open: (() => void) | undefined;
    const opening = () =>
      new Promise<void>((resolve) => {
        open = resolve;
      });
    const agent = agentOn(hardware, opening);
    const started = agent.start().catch(() => undefined);
    await until('the opening', () => open !== undefined);
    const stopped = agent.stop();
    for (let turn = 0; turn < 500; turn++) await Promise.resolve();
    open?.();
    await stopped;
    await started;
    expect(hardware.get('lamp')).toBe(false);
  });
});
