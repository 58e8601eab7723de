import { describe, expect, it } from 'vitest';
import { Outputs } from '../../drivers/modbus/outputs.ts';
import { PolledChannel } from '../../drivers/modbus/polled-channel.ts';
import type { Request } from '../../drivers/modbus/protocol/request.ts';
import type { FaultScript } from '../../drivers/modbus/simulator/faults.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import type { ModbusTask } from '../../drivers/modbus/transport/transport.ts';
import { CancellableDelays } from '../../drivers/modbus/write.ts';
import { WriteFunctions } from '../../drivers/modbus/write-functions.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { channelOf, silentLog } from './owner.ts';
import { SimBus } from './sim-bus.ts';

const READ = 3;
const WRITE = 6;

/** One output at holding 4, polled every 200 ms, with what the port told of it: values and codes of failures. */
async function polledOutput(keys: object = {}, again?: RawValue, ports: object = { misses: 2 }) {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock);
  const output = {
    ...channelOf({ holding: 4, ...keys }, { direction: 'out' }),
    returnValue: () => again,
  };
  const channels = [output, channelOf({ holding: 0, unit: 2 })];
  const bus = await new SimBus({ store, channels, clock, echo: 'off', poll: '200ms', keys: { ...ports } }).open();
  const told: unknown[] = [];
  bus.listen(output, (reading) => told.push(reading.ok ? reading.value : reading.error.code));
  await clock.advance(1000);
  const write = (value: RawValue) => bus.port.write(output, value);
  return { bus, clock, store, told, write };
}

/** Gives the requests of this function to unit 1 these faults, in their order. */
function faults(code: number, ...kinds: readonly ReturnType<FaultScript>[]): FaultScript {
  const left = [...kinds];
  return ({ unit, pdu }) => (unit === 1 && pdu[0] === code ? left.shift() : undefined);
}

describe('a write that another register verifies after a delay', () => {
  const verify = { holding: 40, delay: '2s' };

  it('tells its read-back at once', async () => {
    const { bus, clock, store, told, write } = await polledOutput({ verify });
    store.put(1, 'holding', 40, 7);
    const outcome = write(7);
    await clock.advance(50);
    expect(told).toEqual([0, 7]);
    expect(await bus.settle(outcome)).toEqual({ readBack: 7 });
    expect(told).toEqual([0, 7]);
    await bus.port.close();
  });

  it('tells no reading from before the delay when it fails', async () => {
    const { bus, clock, store, told, write } = await polledOutput({ verify });
    const outcome = write(7).catch((error: unknown) => error);
    await clock.advance(500);
    // The device does not keep the value.
    store.put(1, 'holding', 4, 0);
    await clock.advance(500);
    expect(told).toEqual([0, 7, 0]);
    expect(await bus.settle(outcome)).toMatchObject({ code: 'NOT_TAKEN' });
    expect(told).toEqual([0, 7, 0]);
    await bus.port.close();
  });

  it('is answered with the latest reading, and not with one from before the delay', async () => {
    const { bus, clock, store, told, write } = await polledOutput({ verify });
    store.put(1, 'holding', 40, 7);
    const outcome = write(7);
    await clock.advance(500);
    store.put(1, 'holding', 4, 8);
    expect(await bus.settle(outcome)).toEqual({ readBack: 8 });
    await clock.advance(400);
    expect(told).toEqual([0, 7, 8]);
    await bus.port.close();
  });

  it('is answered with the latest reading when its own read-back was lost', async () => {
    const { bus, clock, store, told, write } = await polledOutput({ verify });
    store.put(1, 'holding', 40, 7);
    const script = faults(READ, { kind: 'silent' });
    bus.slave.script = (request, index) => (store.get(1, 'holding', 4)[0] === 0 ? undefined : script(request, index));
    const outcome = write(7);
    expect(await bus.settle(outcome)).toEqual({ readBack: 7 });
    expect(told).toEqual([0, 7]);
    await clock.advance(400);
    expect(told).toEqual([0, 7]);
    await bus.port.close();
  });

  it('tells no return value of a unit that came back over a newer command', async () => {
    const { bus, clock, store, told, write } = await polledOutput({ verify }, 5);
    store.put(1, 'holding', 40, 5);
    bus.slave.script = ({ unit }) => (unit === 1 ? { kind: 'silent' } : undefined);
    await clock.advance(2000);
    let checks = 0;
    bus.slave.script = ({ unit, pdu }) => {
      if (unit === 1 && pdu[0] === READ && pdu.readUInt16BE(1) === 40) checks++;
      return undefined;
    };
    while (store.get(1, 'holding', 4)[0] !== 5) await clock.advance(50);
    await clock.advance(100);
    const outcome = write(6);
    while (checks < 1) await clock.advance(10);
    await clock.advance(50);
    // The return value has been verified.
    expect(told).toEqual([0, 'TIMEOUT', 0, 5, 6]);
    store.put(1, 'holding', 40, 6);
    expect(await bus.settle(outcome)).toEqual({ readBack: 6 });
    await clock.advance(1000);
    expect(told).toEqual([0, 'TIMEOUT', 0, 5, 6]);
    await bus.port.close();
  });
});

describe('a reading that settles a write', () => {
  it.each([
    { what: 'whose reply was lost', script: () => faults(WRITE, { kind: 'silent' }) },
    { what: 'that the device never completed', script: () => faults(WRITE, { kind: 'exception', code: 5 }) },
  ])('$what is told, also when it is the value from before', async ({ script }) => {
    const { bus, clock, store, told, write } = await polledOutput({ write: { register: 6 } });
    bus.slave.script = script();
    const outcome = write(9).catch((error: unknown) => error);
    await clock.advance(50);
    store.put(1, 'holding', 4, 0);
    expect(await bus.settle(outcome)).toMatchObject({ code: 'TIMEOUT' });
    expect(told).toEqual([0]);
    await clock.advance(1000);
    expect(told).toEqual([0, 0]);
    await bus.port.close();
  });

  it('is told when another register could not verify it', async () => {
    const { bus, clock, store, told, write } = await polledOutput({ verify: { holding: 40, delay: '2s' } });
    bus.slave.script = ({ unit, pdu }) =>
      unit === 1 && pdu[0] === READ && pdu.readUInt16BE(1) === 40 ? { kind: 'exception', code: 4 } : undefined;
    expect(await bus.settle(write(9).catch((error: unknown) => error))).toMatchObject({ code: 'TIMEOUT' });
    expect(told).toEqual([0, 9]);
    await clock.advance(400);
    expect(store.get(1, 'holding', 4)).toEqual([9]);
    expect(told).toEqual([0, 9, 9]);
    await bus.port.close();
  });

  it('is told when the write was acknowledged and its read-back lost', async () => {
    const { bus, clock, told, write } = await polledOutput();
    bus.slave.script = faults(READ, { kind: 'silent' });
    expect(await bus.settle(write(9))).toEqual({});
    expect(told).toEqual([0]);
    await clock.advance(1000);
    expect(told).toEqual([0, 9]);
    await bus.port.close();
  });

  it('is told when a unit is as silent after an acknowledged write as it was before', async () => {
    const ports = { misses: 20, uncertain_after: '100ms', bad_after: '100ms' };
    const { bus, clock, told, write } = await polledOutput({}, undefined, ports);
    bus.slave.script = faults(READ, ...Array.from({ length: 10 }, () => ({ kind: 'silent' }) as const));
    while (told.length < 2) await clock.advance(10);
    expect(await bus.settle(write(9))).toEqual({});
    expect(told).toEqual([0, 'TIMEOUT']);
    await clock.advance(500);
    expect(told).toEqual([0, 'TIMEOUT', 'TIMEOUT']);
    await bus.port.close();
  });

  it('is told after the return value that replaces a refused command', async () => {
    const { bus, clock, store, told, write } = await polledOutput({}, 7);
    store.put(1, 'holding', 4, 7);
    bus.slave.script = ({ unit }) => (unit === 1 ? { kind: 'silent' } : undefined);
    await clock.advance(2000);
    let command: Promise<unknown> | undefined;
    bus.slave.script = ({ unit, pdu }) => {
      // The probe is under way.
      if (unit === 1) command ??= write(99).catch((error: unknown) => error);
      return pdu[0] === WRITE && pdu.readUInt16BE(3) === 99 ? { kind: 'exception', code: 4 } : undefined;
    };
    await clock.advance(4000);
    expect(await command).toMatchObject({ code: 'DEVICE_REFUSED' });
    expect(told).toEqual([0, 'TIMEOUT', 7, 7]);
    await bus.port.close();
  });
});

describe('a register that the device never lets be read', () => {
  it.each([{}, { verify: { holding: 40 } }])(
    'is told to be unreadable once, not after each command: %j',
    async (keys) => {
      const { bus, clock, store, told, write } = await polledOutput(keys);
      store.put(1, 'holding', 40, 5);
      bus.slave.script = ({ unit, pdu }) =>
        unit === 1 && pdu[0] === READ && pdu.readUInt16BE(1) === 4 ? { kind: 'exception', code: 2 } : undefined;
      await clock.advance(1000);
      for (let time = 0; time < 2; time++) {
        expect(await bus.settle(write(5))).toEqual({});
        await clock.advance(1000);
      }
      expect(told).toEqual([0, 'NO_SUCH_CHANNEL']);
      await bus.port.close();
    },
  );
});

describe('registers that hold no value after a write', () => {
  it('are not told so over a newer reading', async () => {
    const clock = new ManualClock();
    const told: Reading[] = [];
    const channel = channelOf({ holding: 4, type: 'float32' }, { direction: 'out' });
    const polled = new PolledChannel(channel, { unit: 1, poll: 200 }, (reading) => told.push(reading));
    const notANumber = Buffer.from('7fc00000', 'hex');
    const transact = async ({ kind }: Request) => (kind === 'read' ? notANumber : Buffer.alloc(0));
    const bus = {
      clock,
      log: silentLog,
      delays: new CancellableDelays(clock),
      functions: new WriteFunctions(() => undefined),
      isOffline: () => false,
      count: () => undefined,
      confirmPlace: () => undefined,
      connectPauseMs: 0,
      run: <Result>(task: ModbusTask<Result>) => task.work(transact),
      ended: () => false,
    };
    const outputs = new Outputs(bus, new Map([[channel.key, polled]]));
    expect(await outputs.command(polled, 1.5, {})).toEqual({});
    polled.deliver(Buffer.from('3fc00000', 'hex'), 0);
    await clock.advance(10);
    expect(told).toEqual([{ ok: true, value: 1.5 }]);
  });
});
