import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { addressKeys, type ModbusAddress, readPlace, readSpanOf } from '../../drivers/modbus/address.ts';
import { modbus, registersOf } from '../../drivers/modbus/driver.ts';
import { formatOf } from '../../drivers/modbus/register-format.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { startAgent } from '../../src/testing/index.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';
import { common, putChain } from './sunspec-device.ts';

const folder = join(import.meta.dirname, '../../boards/modbus');
const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yaml'));
/** What may be measured in a unit, as Home Assistant calls it; nothing where it has no word for it. */
const CLASSES = new Map<unknown, readonly (string | undefined)[]>([
  ['V', ['voltage']],
  ['A', ['current']],
  ['W', ['power']],
  ['kW', ['power']],
  ['VA', ['apparent_power']],
  ['VAh', [undefined]],
  ['Wh', ['energy']],
  ['kWh', ['energy']],
  ['Hz', ['frequency']],
  ['°C', ['temperature']],
  ['%', ['humidity', 'battery', undefined]],
  ['s', ['duration']],
  ['ms', ['duration']],
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
    const others = [
      'class',
      'uom',
      'scale',
      'offset',
      'direction',
      'range',
      'safe',
      'initial',
      'repeat',
      'deadband',
      'label',
      'invert',
      'on',
      'off',
    ];
    for (const { pin, keys, common: rest } of pins) {
      expect(modbus.pin.safeParse(keys).error, pin).toBeUndefined();
      for (const [key] of rest) expect(others, `${pin}.${key}`).toContain(key);
    }
  });

  it('gives every pin a unit, a poll period and, for outputs, a range', () => {
    for (const { pin, keys, common } of pins) {
      const given = new Map(common);
      const { kind } = modbus.describe(modbus.pin.parse(keys), options);
      if (given.has('uom')) expect(CLASSES.get(given.get('uom')), pin).toContain(given.get('class'));
      if (given.get('direction') === 'out') {
        if (kind === 'digital') expect(given.get('class'), pin).toBe('switch');
        else if (kind === 'analog') expect(given.get('range'), pin).toHaveLength(2);
      }
      expect(keys['poll'], pin).toBeDefined();
    }
  });

  it('names every register once', () => {
    const taken = new Map<string, string>();
    for (const { pin, keys } of pins) {
      const { unit, table, first, count } = registersOf(modbus.pin.parse(keys), options);
      const address = modbus.pin.parse(keys);
      // An order may share its address with a state.
      if (address.selfClearing) continue;
      for (let at = first; at < first + count; at++) {
        const place = `${unit}/${address.model ?? table}/${at}/${address.bits?.join('-') ?? ''}`;
        expect(taken.get(place), `${pin} at ${place}`).toBeUndefined();
        taken.set(place, pin);
      }
    }
  });

  // A SunSpec device may have any of several models.
  const choices = Math.max(...pins.map(({ keys }) => 1 + modbus.pin.parse(keys).alternatives.length));
  it.each(Array.from({ length: choices }, (_, choice) => choice))(
    'reads and writes a simulated device made from it, through the real stack (choice %i)',
    async (choice) => {
      const clock = new ManualClock();
      const store = new SimulatedMemory(clock, { everywhere: true });
      const addresses = pins.map(({ keys }) => {
        const address = modbus.pin.parse(keys);
        return [address, ...address.alternatives].at(Math.min(choice, address.alternatives.length)) ?? address;
      });
      const placeOf = putModels(store, addresses);
      const expected = addresses.map((address, index) => simulate(store, address, placeOf(address), index));
      const channels = pins.map(({ keys, common }) => {
        const out = common.some(([key, value]) => key === 'direction' && value === 'out');
        return channelOf(keys, { direction: out ? 'out' : 'in' });
      });
      const bus = await new SimBus({ store, channels, clock, poll: '1h' }).open();
      await clock.advance(1000);
      const readings = await bus.settle(bus.port.read(channels));
      const shown = readings.map((reading) => (reading.ok ? reading.value : reading.error.message));
      // A value that the device never shows is not known before it is written.
      const readable = ({ read, selfClearing }: ModbusAddress) => read !== false || selfClearing;
      const known = (_: unknown, index: number) => channels[index] !== undefined && readable(channels[index].address);
      expect(shown.filter(known)).toEqual(expected.filter(known));
      for (const [index, channel] of channels.entries()) {
        const { address } = channel;
        if (channel.direction !== 'out' || address.selfClearing) continue;
        for (const value of otherValues(address, new Map(pins[index]?.common), expected[index])) {
          // Where the state is read elsewhere, the device acts on the order and shows it.
          bus.slave.script = ({ pdu }) => {
            if (pdu.readUInt8(0) > 4 && address.read) queueMicrotask(() => show(store, address, 0, value));
            return undefined;
          };
          const result = readable(address) ? { readBack: value } : {};
          expect(await bus.settle(bus.port.write(channel, value)), channel.key).toEqual(result);
        }
      }
      await bus.port.close();
    },
  );
});

/** Gives a device the SunSpec models of these addresses. Returns where an address counts from. */
function putModels(store: SimulatedMemory, addresses: readonly ModbusAddress[]): (address: ModbusAddress) => number {
  const lengths = new Map<number, number>();
  for (const address of addresses) {
    const { first, count } = readSpanOf(address, { unit: 1 });
    if (address.model !== undefined)
      lengths.set(address.model, Math.max(lengths.get(address.model) ?? 0, first + count - 2));
  }
  const models = [...lengths].map(([model, length]) => ({ model, length }));
  const places = lengths.size > 0 ? putChain(store, [common, ...models]).slice(1) : [];
  return ({ model }) => places[models.findIndex((one) => one.model === model)] ?? 0;
}

/** Puts a value where an address has it, and returns it. Scale factors are 0, so values are as they stand. */
function simulate(store: SimulatedMemory, address: ModbusAddress, place: number, index: number): RawValue {
  const format = formatToRead(address);
  if (address.read === false) return format && format.kind !== 'digital' ? 0 : false;
  if (!format) return show(store, address, place, index % 2 === 1);
  const names = Object.values(address.values ?? {});
  const number = format.kind === 'digital' ? index % 2 === 1 : 100 + index;
  const empty = format.decode(Buffer.alloc(2 * format.registers), 0);
  const plain = address.fields && empty.ok ? empty.value : number;
  const value = names.length > 0 ? (names[index % names.length] ?? '') : plain;
  return show(store, address, place, value);
}

function formatToRead(address: ModbusAddress) {
  const { spec } = readPlace(address);
  return spec && formatOf({ ...spec, scaleOffset: undefined });
}

/** Puts a value where an address is read. */
function show(store: SimulatedMemory, address: ModbusAddress, place: number, value: RawValue): RawValue {
  const { table, first } = readPlace(address);
  const format = formatToRead(address);
  const span = { unit: address.unit ?? 1, table, first: first + place, registerBytes: address.registerBytes };
  if (format) store.putValue(span, format, value);
  else store.put(1, table, first + place, value === true ? 1 : 0);
  return value;
}

/** Raw values to write to an output: every name, or both ends of its range and a value between. */
function otherValues(
  { values, fields }: ModbusAddress,
  given: ReadonlyMap<string, unknown>,
  shown?: RawValue,
): RawValue[] {
  if (fields) return [z.string().parse(given.get('safe') ?? shown)];
  if (typeof shown === 'boolean') return [!shown, shown];
  if (values) return Object.values(values);
  const range = z.tuple([z.number(), z.number()]).parse(given.get('range'));
  const { scale = 1, offset = 0 } = z
    .looseObject({ scale: z.number().optional(), offset: z.number().optional() })
    .parse(Object.fromEntries(given));
  return [range[0], (range[0] + range[1]) / 2, range[1]].map((value) => Math.round((value - offset) / scale));
}

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

  it('never read what the device lets only be written', () => {
    const outputs = pinsOf('keba/p30.yaml').filter(({ keys }) => Number(keys['holding']) > 5000);
    expect(outputs.map(({ keys }) => keys['read'])).toEqual([false, false]);
  });

  it('are all there', () => {
    expect(names.length).toBeGreaterThanOrEqual(35);
  });
});
