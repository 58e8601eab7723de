import { writeFileSync } from 'node:fs';
import { conformance, startAgent } from 'dcs-io/testing';
import { afterAll, describe, expect, it } from 'vitest';
import mcp3008, { createMcp3008 } from '../src/driver.ts';
import { SimulatedSpidev } from './simulated-spidev.ts';

const spidev = new SimulatedSpidev();
afterAll(() => spidev.remove());

/** What every driver of dcs-io promises. */
conformance('mcp3008', {
  driver: createMcp3008(async () => spidev),
  options: () => ({ device: spidev.path, poll: '10ms' }),
  input: {
    keys: { channel: 3 },
    values: [0, 1023],
    drive: async (value) => {
      spidev.values[3] = Number(value);
    },
  },
  plug: {
    unplug: async () => {
      spidev.plugged = false;
    },
    replug: async () => {
      spidev.plugged = true;
    },
  },
  teardown: async () => {
    spidev.plugged = true;
  },
});

const context = {
  clock: { now: () => 0, unix: () => 0, after: () => ({ cancel() {} }) },
  log: { debug() {}, info() {}, warn() {}, error() {} },
  changed() {},
  down() {},
  count() {},
};

describe('the device', () => {
  it('is skipped where it is not there, and named with its error where the kernel refuses', async () => {
    const open = (device: string) => mcp3008.open(mcp3008.options.parse({ device }), [], context);
    expect(await open('/dev/spidev9.9')).toMatchObject({
      kind: 'skipped',
      reason: expect.stringContaining('/dev/spidev9.9'),
    });
    writeFileSync(`${spidev.path}.none`, '');
    await expect(open(`${spidev.path}.none`)).rejects.toMatchObject({ code: 'PORT_DOWN', found: 'ENOTTY' });
  });
});

describe('in a configuration', () => {
  it('gives its pins their channel, with the scale of the pin', async () => {
    await using agent = await startAgent({
      drivers: ['./dist/driver.js'],
      ports: { adc: { driver: 'mcp3008', device: '/dev/spidev0.0' } },
      pins: { pressure: { port: 'adc', channel: 2, scale: 0.01, uom: 'bar' } },
    });
    agent.hardware.set('pressure', 4.2);
    await agent.clock.advance(0);
    expect(await agent.pins.get('pressure')).toMatchObject({ val: 4.2, quality: 'good' });
  });
});
