import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pymodbus } from '../modbus/pymodbus.ts';
import { AgentProcess } from '../support/agent-process.ts';
import { Observer } from '../support/observer.ts';

const POLL_MS = 200;

describe('the agent bridges a Modbus TCP server that is not ours', () => {
  const plc = new Pymodbus();
  let agent: AgentProcess;
  let observer: Observer;

  beforeAll(async () => {
    await plc.start();
    await plc.set('holding', 10, 7);
    agent = await AgentProcess.start(`
ports:
  plc: { driver: modbus, tcp: '127.0.0.1:${plc.port}', poll: ${POLL_MS}ms, timeout: 500ms, misses: 3 }
  sim: { driver: mock }
pins:
  level: { port: plc, holding: 10, deadband: 0.1 }
  setpoint: { port: plc, holding: 20, direction: out, range: [0, 500], scale: 0.1, safe: 0 }
  flow: { port: plc, input: 30, type: float32 }
  alarm: { port: plc, discrete: 3 }
  relay: { port: plc, coil: 4, direction: out, invert: true, safe: false }
  lamp: { port: sim, channel: lamp, direction: out, initial: false, safe: false }
`);
    observer = await new Observer(agent.bus).start();
    observer.actor.send({ UpdateIoMessage: {} });
    await observer.report('level', ({ val }) => val === 7);
  });
  afterAll(async () => {
    await observer?.stop();
    await agent?.stop();
    await plc.stop();
  });

  it('a register changed there appears on the bus within two poll periods', async () => {
    const took: number[] = [];
    for (const value of [100, 101, 102, 103, 104]) {
      await plc.set('holding', 10, value);
      const begun = performance.now();
      const { at } = await observer.report('level', ({ val }) => val === value);
      took.push(at - begun);
    }
    expect(Math.max(...took)).toBeLessThan(2 * POLL_MS);
    await plc.set('input', 30, 0x41ac, 0);
    await observer.report('flow', ({ val }) => val === 21.5);
    await plc.set('discrete', 3, 1);
    await observer.report('alarm', ({ val }) => val === true);
  });

  it('a command changes it there, scaled and inverted, and is answered with what was read back', async () => {
    expect(await agent.cli('set', 'setpoint', '12.5')).toMatchObject({ code: 0, stdout: 'setpoint  12.5\n' });
    expect(await plc.get('holding', 20)).toEqual([125]);
    expect(await agent.cli('set', 'relay', 'off')).toMatchObject({ code: 0 });
    expect(await plc.get('coil', 4)).toEqual([1]);
    expect(await agent.cli('set', 'relay', 'on')).toMatchObject({ code: 0 });
    expect(await plc.get('coil', 4)).toEqual([0]);
    expect(await agent.cli('set', 'setpoint', '501')).toMatchObject({ code: 1 });
    expect(await plc.get('holding', 20)).toEqual([125]);
  });

  it('stopping the server turns its pins bad within 2 s, restarting heals them, other pins notice nothing', async () => {
    observer.seen.splice(0);
    const begun = performance.now();
    await plc.stop();
    for (const pin of ['level', 'setpoint', 'flow', 'alarm', 'relay']) {
      const { at, reason } = await observer.report(pin, ({ quality }) => quality === 'bad');
      expect(at - begun).toBeLessThan(2000);
      expect(reason).toMatch(/PORT_DOWN/);
    }
    const refused = await agent.cli('set', 'setpoint', '1');
    expect(refused).toMatchObject({ code: 1 });
    expect(await agent.cli('set', 'lamp', 'on')).toMatchObject({ code: 0 });
    await plc.start();
    for (const pin of ['level', 'setpoint', 'flow', 'alarm', 'relay']) {
      await observer.report(pin, ({ quality }) => quality === 'good', 8000);
    }
    expect(observer.seen.filter(({ pin_name, quality }) => pin_name === 'lamp' && quality === 'bad')).toEqual([]);
    expect(await agent.report('lamp')).toMatchObject({ val: true, quality: 'good' });
    // What was asked for while it was away is not carried out now; the outputs are in their safe state.
    expect(await plc.get('holding', 20)).toEqual([0]);
    expect(await plc.get('coil', 4)).toEqual([1]);
  });

  it('a server that is there but silent turns its pins bad after the declared misses, within 2 s', async () => {
    plc.freeze(true);
    const begun = performance.now();
    const { at } = await observer.report('level', ({ quality }) => quality === 'bad');
    expect(at - begun).toBeLessThan(2000);
    plc.freeze(false);
    await observer.report('level', ({ quality }) => quality === 'good', 8000);
  });

  it('SIGTERM drives its outputs to their safe values', async () => {
    await agent.cli('set', 'setpoint', '30');
    expect(await plc.get('holding', 20)).toEqual([300]);
    expect(await agent.stop()).toMatchObject({ code: 0 });
    expect(await plc.get('holding', 20)).toEqual([0]);
  });
});
