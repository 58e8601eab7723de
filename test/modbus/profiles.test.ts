import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { addressKeys } from '../../drivers/modbus/address.ts';
import { modbus, registersOf } from '../../drivers/modbus/driver.ts';
import { isBitTable } from '../../drivers/modbus/protocol/request.ts';
import { formatOf } from '../../drivers/modbus/register-format.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { startAgent } from '../../src/testing/index.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

const folder = join(import.meta.dirname, '../../boards/modbus');
const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yaml'));
/** What is measured in a unit, as Home Assistant calls it. */
const CLASSES = new Map([
  ['V', 'voltage'],
  ['A', 'current'],
  ['W', 'power'],
  ['kW', 'power'],
  ['Wh', 'energy'],
  ['kWh', 'energy'],
  ['Hz', 'frequency'],
  ['°C', 'temperature'],
  ['%', 'humidity'],
  ['ms', 'duration'],
]);
const driverKeys = Object.keys(addressKeys.shape);

const profileSchema = z.strictObject({
  title: z.string().min(5),
  source: z.string().min(10),
  defaults: z.record(z.string(), z.unknown()).default({}),
  pins: z.record(z.string().regex(/^[a-z0-9-]+$/), z.record(z.string(), z.unknown())),
});

/** The driver's keys of every pin on a register, the profile's defaults included. Computed pins have no register. */
function pinsOf(name: string) {
  const { defaults, pins } = profileSchema.parse(parse(readFileSync(join(folder, name), 'utf8')));
  const registers = Object.entries(pins).filter(([, own]) => !('expr' in own));
  return registers.map(([pin, own]) => {
    const all = Object.entries({ ...defaults, ...own });
    const isBit = 'coil' in own || 'discrete' in own;
    // A device's defaults for its registers say nothing about its coils.
    // `on` and `off` of a register with named values are words for rules.
    const isDrivers = (key: string) =>
      driverKeys.includes(key) && !('values' in own && (key === 'on' || key === 'off'));
    const keys = all.filter(([key]) => isDrivers(key) && !(isBit && (key === 'type' || key === 'order')));
    return { pin, keys: Object.fromEntries(keys), common: all.filter(([key]) => !isDrivers(key)) };
  });
}

describe.each(names)('the profile %s', (name) => {
  const pins = pinsOf(name);
  const options = modbus.options.parse({ serial: '/dev/null' });

  it('has only keys that a pin may have', () => {
    const common = [
      'class',
      'uom',
      'scale',
      'offset',
      'direction',
      'range',
      'safe',
      'initial',
      'deadband',
      'label',
      'invert',
      'on',
      'off',
    ];
    for (const { pin, keys, common: rest } of pins) {
      expect(modbus.pin.safeParse(keys).error, pin).toBeUndefined();
      for (const [key] of rest) expect(common, `${pin}.${key}`).toContain(key);
    }
  });

  it('gives every pin a unit, a poll period and, for outputs, a range', () => {
    for (const { pin, keys, common } of pins) {
      const given = new Map(common);
      const { kind } = modbus.describe(modbus.pin.parse(keys), options);
      if (given.has('uom')) expect(CLASSES.get(String(given.get('uom'))), pin).toBe(given.get('class'));
      if (given.get('direction') === 'out') {
        if (kind === 'digital') expect(given.get('class'), pin).toBe('switch');
        else expect(given.get('range'), pin).toHaveLength(2);
      }
      expect(keys['poll'], pin).toBeDefined();
    }
  });

  it('names every register once', () => {
    const taken = new Map<string, string>();
    for (const { pin, keys } of pins) {
      const { unit, table, first, count } = registersOf(modbus.pin.parse(keys), options);
      const address = modbus.pin.parse(keys);
      for (let at = first; at < first + count; at++) {
        const place = `${unit}/${table}/${at}/${address.bits?.join('-') ?? ''}`;
        expect(taken.get(place), `${pin} at ${place}`).toBeUndefined();
        taken.set(place, pin);
      }
    }
  });

  it('reads a simulated device made from it, through the real stack', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock, { everywhere: true });
    const expected = pins.map(({ keys }, index) => {
      const address = modbus.pin.parse(keys);
      const { table, model } = address;
      // A SunSpec device: the common model, then this one. Scale factors are 0, so values are as they stand.
      if (model !== undefined) store.put(1, 'holding', 40_000, 0x5375, 0x6e53, 1, 66);
      if (model !== undefined) store.put(1, 'holding', 40_070, model, 50);
      const first = address.first + (model === undefined ? 0 : 40_070);
      if (isBitTable(table)) {
        store.put(1, table, first, index % 2);
        return index % 2 === 1;
      }
      const names = Object.values(address.values ?? {});
      const value = names.length > 0 ? (names[index % names.length] ?? '') : 100 + index;
      const data = formatOf({ ...address, scaleOffset: undefined }).encode(value);
      for (let at = 0; at < data.length; at += 2) store.put(1, table, first + at / 2, data.readUInt16BE(at));
      return value;
    });
    const channels = pins.map(({ keys }) => channelOf(keys));
    const bus = await new SimBus({ store, channels, clock, poll: '1h' }).open();
    await clock.advance(1000);
    const readings = await bus.settle(bus.port.read(channels));
    expect(readings.map((reading) => (reading.ok ? reading.value : reading.error.message))).toEqual(expected);
    await bus.port.close();
  });
});

describe('the profiles', () => {
  it('compute pins from registers: what lies behind transformers is a reading times their ratios', async () => {
    await using agent = await startAgent({
      node: 'site',
      board: 'none',
      ports: { bus: { driver: 'modbus', serial: '/dev/ttyUSB0' } },
      devices: { m: { port: 'bus', profile: 'chint/dtsu666', pins: { 'voltage-ratio': { expr: 1 } } } },
    });
    const raw = { 'current-ratio': 40, 'terminal-power': 230.5, 'terminal-current-l2': 1.5, 'terminal-import': 10 };
    for (const [pin, value] of Object.entries(raw)) agent.hardware.set(`m.${pin}`, value);
    await agent.clock.advance(0);
    expect(await agent.pins.get('m.power')).toMatchObject({ val: 9220, quality: 'good' });
    expect(await agent.pins.get('m.current-l2')).toMatchObject({ val: 60, quality: 'good' });
    expect(await agent.pins.get('m.import')).toMatchObject({ val: 400, quality: 'good' });
  });

  it('are all there', () => {
    expect(names.length).toBeGreaterThanOrEqual(12);
  });
});
