import { describe, expect, it } from 'vitest';
import { addPinsToTable } from '../../src/agent/pins.ts';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Supervisor } from '../../src/bus/supervisor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { ReadingListener } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { createPin, openingValue } from '../../src/io/create-pin.ts';
import type { ChannelHandle } from '../../src/io/port-runner.ts';
import type { PinSpec, RawValue } from '../../src/pin/pin.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';
import { pinEnvironment } from '../support/pin-environment.ts';
import { memoryLog } from '../support/ports.ts';

const speed = pinSpec({ name: 'speed', kind: 'analog', direction: 'out', scale: 0.1, safe: 0 });

/** How a channel rounds, and the resolution that its driver gives. */
interface Rounding {
  readonly held: (value: number) => number;
  readonly resolution: (value: number) => number;
}
const register: Rounding = { held: Math.round, resolution: (value) => 2 * Math.abs(Math.round(value) - value) };
const dac: Rounding = { held: (value) => Math.round(value * 4095) / 4095, resolution: () => 1 / 4095 };

/** An output on a channel that rounds what it is given. */
async function coarse(spec: PinSpec, { held, resolution }: Rounding) {
  const clock = new ManualClock();
  const log = memoryLog();
  const bus = new Bus({ clock });
  const life = pinEnvironment(bus, log);
  addPinsToTable(life.table, [{ spec, port: 'bus', key: spec.name, address: {} }], life.kept, clock, log);
  const entry = life.table.get(spec.name);
  if (!entry) throw new Error('no pin');
  const writes: RawValue[] = [];
  const line: { tell: ReadingListener; silent: boolean } = { tell: () => undefined, silent: false };
  const never = () => Promise.reject(new DcsError('NOT_SUPPORTED', 'not by this channel'));
  const handle: ChannelHandle = {
    port: 'bus',
    debounced: false,
    read: never,
    write: async (value) => {
      writes.push(value);
      if (line.silent) throw new DcsError('TIMEOUT', 'no answer');
      return { readBack: held(Number(value)) };
    },
    resolution: (value) => resolution(Number(value)),
    preset: never,
    float: never,
    listen: (listener) => {
      line.tell = listener;
      return () => undefined;
    },
  };
  const user = new Actor('user');
  bus.join(user);
  await new Supervisor(bus, log).add(spec.name, () => createPin(entry, handle, life));
  return {
    clock,
    writes,
    line,
    async command(val: number) {
      user.send({ IoMessage: { pin_name: spec.name, val } });
      await clock.advance(0);
      return entry.output?.lastCommand?.state;
    },
    /** The hardware shows a value; resolves with the state of the last command. */
    async show(value: number) {
      line.tell({ ok: true, value });
      await clock.advance(1000);
      return entry.output?.lastCommand?.state;
    },
    /** The port comes back after a loss, and drives the raw value that this returns. */
    reopen: () => Number(openingValue(entry, false)),
  };
}

describe('an output on a channel that rounds', () => {
  it('is verified by what the channel holds, as its port tells the resolution', async () => {
    const { command, runner, take } = await pinBench([speed]);
    runner.port.write = async (_channel, value) => ({ readBack: register.held(Number(value)) });
    runner.port.resolution = (_channel, value) => register.resolution(Number(value));
    expect((await command('speed', 20.04)).answers).toMatchObject([
      { val: 20, output: { command: { state: 'verified' } } },
    ]);
    runner.port.resolution = () => undefined;
    expect((await command('speed', 20.03)).answers).toMatchObject([
      { code: 'NOT_TAKEN', message: 'speed: the hardware accepted 20.03, but it has 20 now' },
    ]);
    expect(take()).toEqual([]);
  });

  it.each([
    ['as the channel holds it', 1000, 'verified'],
    ['one step away', 1001, 'failed'],
    ['as it was before', 500, 'failed'],
  ])('whose command was not confirmed shows its value %s: %d means %s', async (_what, raw, state) => {
    const { command, show, line } = await coarse(speed, register);
    // A register holds this one exactly, and not the next one.
    expect(await command(50)).toBe('verified');
    line.silent = true;
    expect(await command(100.04)).toBe('unknown');
    expect(await show(raw)).toBe(state);
  });

  it('settles the first command after the start too', async () => {
    const { command, show, line } = await coarse({ ...speed, scale: 100 }, dac);
    line.silent = true;
    expect(await command(33)).toBe('unknown');
    expect(await show(dac.held(0.33))).toBe('verified');
  });

  it('writes its safe value once when the port opens with it', async () => {
    const { show, reopen, writes } = await coarse({ ...speed, scale: 100, safe: 33 }, dac);
    expect(reopen()).toBe(0.33);
    await show(dac.held(0.33));
    expect(writes).toEqual([]);
  });

  it('writes its safe value again when the hardware shows a neighbouring one', async () => {
    const { show, reopen, writes } = await coarse({ ...speed, scale: 100, safe: 33 }, dac);
    reopen();
    await show(dac.held(0.33) + 1 / 4095);
    expect(writes).toEqual([0.33]);
  });
});
