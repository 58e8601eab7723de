import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { startAgent } from '../../src/testing/index.ts';
import { freePort, isFree } from '../support/free-port.ts';

const plant = {
  node: 'plant',
  board: 'raspberry-pi-4b',
  ports: { plc: { driver: 'modbus', tcp: '192.0.2.1:502' } },
  pins: {
    lamp: { gpio: 'GPIO17', direction: 'out', initial: false, safe: false, invert: true },
    door: { gpio: 'GPIO27', direction: 'in', invert: true, debounce: '20ms' },
    level: { port: 'plc', holding: 10, type: 'uint16', scale: 0.1, offset: 5 },
    speed: { port: 'plc', holding: 12, type: 'uint16', direction: 'out', scale: 0.1, range: [0, 50], safe: 0 },
    wanted: { virtual: 'bool', direction: 'out', initial: false },
  },
};

describe('startAgent for a test', () => {
  it('drives and reads hardware by pin name, with invert and scale applied', async () => {
    await using agent = await startAgent(plant);
    expect(agent.hardware.get('lamp')).toBe(false);
    await agent.pins.set('lamp', true);
    expect(agent.hardware.get('lamp')).toBe(true);
    await agent.pins.set('speed', 12.5);
    expect(agent.hardware.driven('speed').at(-1)).toMatchObject({ value: 12.5 });
    agent.hardware.set('level', 21.5);
    await agent.clock.advance(0);
    expect(await agent.pins.get('level')).toMatchObject({ val: 21.5, quality: 'good', simulated: true });
  });

  it('shows a value that no command may ask for, as a PLC does that writes its own register', async () => {
    await using agent = await startAgent(plant);
    agent.hardware.set('speed', 400);
    await agent.clock.advance(0);
    expect(await agent.pins.get('speed')).toMatchObject({ val: 400 });
    await expect(agent.pins.set('speed', 400)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
  });

  it('lets time pass only when the test says so', async () => {
    await using agent = await startAgent(plant);
    agent.hardware.set('door', false);
    await agent.clock.advance(100);
    agent.hardware.set('door', true);
    await agent.clock.advance(19);
    expect(await agent.pins.get('door')).toMatchObject({ val: false });
    await agent.clock.advance(1);
    expect(await agent.pins.get('door')).toMatchObject({ val: true });
  });

  it('takes another clock', async () => {
    await using agent = await startAgent(plant, { clock: systemClock });
    const before = performance.now();
    await agent.pins.set('lamp', true, { pulse: 0.05 });
    while (agent.hardware.get('lamp')) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(performance.now() - before).toBeGreaterThan(45);
  });

  it('makes a pin bad by a fault and by the pulled plug, and well again', async () => {
    await using agent = await startAgent(plant);
    agent.hardware.fault('level', { kind: 'error', message: 'wire broken' });
    await agent.clock.advance(0);
    expect(await agent.pins.get('level')).toMatchObject({
      quality: 'bad',
      reason: expect.stringContaining('wire broken'),
    });
    agent.hardware.fault('level', undefined);
    agent.hardware.unplug('level');
    await agent.clock.advance(0);
    await expect(agent.pins.set('speed', 1)).rejects.toMatchObject({ code: 'PORT_DOWN' });
    agent.hardware.plug('level');
    await agent.clock.advance(10_000);
    expect(await agent.pins.get('level')).toMatchObject({ quality: 'good' });
  });

  it('drives outputs to their exit values when it stops', async () => {
    const agent = await startAgent(plant);
    await agent.pins.set('speed', 40);
    await agent.stop();
    await agent.stop();
    expect(agent.hardware.get('speed')).toBe(0);
  });

  it('stops slow hardware without real time passing', async () => {
    const agent = await startAgent({
      ports: { slow: { driver: 'mock', latency: '300ms' } },
      pins: { lamp: { port: 'slow', channel: 'a', direction: 'out', initial: true, safe: false } },
    });
    const before = performance.now();
    await agent.stop();
    expect(performance.now() - before).toBeLessThan(200);
    expect(agent.hardware.get('lamp')).toBe(false);
    expect(agent.clock.now()).toBeGreaterThan(299);
  });

  it('says which pins there are when the test names another, and that a virtual pin has no hardware', async () => {
    await using agent = await startAgent(plant);
    expect(() => agent.hardware.set('lvel', 1)).toThrow(expect.objectContaining({ code: 'NO_SUCH_PIN' }));
    expect(() => agent.hardware.get('wanted')).toThrow(expect.objectContaining({ code: 'NOT_SUPPORTED' }));
    await agent.pins.set('wanted', true);
    expect(await agent.pins.get('wanted')).toMatchObject({ val: true });
  });

  it('reaches nothing beyond the process: no bus, web page, server, folder or guardian', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'dcs-io-testing-'));
    const state = join(folder, 'state');
    const [bus, web, server] = [await freePort(), await freePort(), await freePort()];
    await using agent = await startAgent({
      ...plant,
      bus: { rx: bus },
      web: { listen: `127.0.0.1:${web}` },
      servers: { show: { driver: 'modbus', tcp: `127.0.0.1:${server}`, coils: { 1: 'lamp' } } },
      state,
      guardian: '2s',
    });
    for (const port of [bus, web, server]) await expect(isFree(port)).resolves.toBe(true);
    expect(existsSync(state)).toBe(false);
    expect(agent.stats).not.toHaveProperty('guardian');
    rmSync(folder, { recursive: true });
  });

  it('names every mistake of a configuration', async () => {
    const wrong = startAgent({ ...plant, pins: { lamp: { gpio: 'GPIO17', rnge: 1 }, door: { gpio: 'GPIO99' } } });
    await expect(wrong).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringMatching(/rnge(.|\n)*GPIO99/),
    });
  });
});
