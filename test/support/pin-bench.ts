import { MockDevice } from '../../drivers/mock/device.ts';
import { createMock } from '../../drivers/mock/driver.ts';
import { addPinsToTable } from '../../src/agent/pins.ts';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { defaultPolicy, Supervisor } from '../../src/bus/supervisor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel } from '../../src/driver/contract.ts';
import { createPin, openingValue } from '../../src/io/create-pin.ts';
import { PortRunner } from '../../src/io/port-runner.ts';
import type { PinEntry } from '../../src/output/pin-table.ts';
import type { PinSpec } from '../../src/pin/pin.ts';
import { pinEnvironment } from './pin-environment.ts';
import { memoryLog } from './ports.ts';

export function pinSpec(spec: Partial<PinSpec> & { name: string }): PinSpec {
  return {
    kind: 'digital',
    direction: 'in',
    invert: false,
    scale: 1,
    offset: 0,
    deadband: 0,
    onExit: spec.safe === undefined ? 'hold' : 'safe',
    onLoss: 'safe',
    rearm: 'auto',
    debounceMs: 0,
    rules: {},
    ...spec,
  };
}

/** A message as a test sees it: its subject and data. */
export type Seen = Record<string, unknown> & { subject: string };

/** Pins on mock hardware with a clock in the test's hand; the channel of a pin has the pin's name. */
export async function pinBench(
  specs: readonly PinSpec[],
  options: object = {},
  file?: string,
  clock = new ManualClock(),
) {
  const bus = new Bus({ clock });
  const log = memoryLog();
  const hardware = new MockDevice();
  const driver = createMock(hardware);
  const life = pinEnvironment(bus, log, file);
  await life.kept.load(true);
  const channelOf = ({ name, kind, direction, debounceMs }: PinSpec): Channel => ({
    key: name,
    kind,
    direction,
    debounceMs,
    address: {},
  });
  const places = specs.map((spec) => ({ spec, port: 'sim', key: spec.name, address: {} }));
  addPinsToTable(life.table, places, life.kept, clock, log);
  const entryOf = ({ name }: PinSpec): PinEntry => {
    const entry = life.table.get(name);
    if (entry) return entry;
    throw new Error(`no pin ${name}`);
  };
  const runner = new PortRunner(
    'sim',
    driver,
    driver.options.parse(options),
    specs.map((spec) => ({
      channel: channelOf(spec),
      openingValue: () => openingValue(entryOf(spec), true),
      returnValue: () => openingValue(entryOf(spec), false),
    })),
    { clock, log },
  );
  const user = new Actor('user');
  user.on('NodeMessage', (data) => life.nodes.onNodeMessage(data));
  const seen: Seen[] = [];
  user.onAny(({ payload }) => {
    for (const [subject, data] of Object.entries(payload)) {
      if (typeof data === 'object' && data !== null) seen.push({ subject, ...data });
    }
  });
  bus.join(user);
  const supervisor = new Supervisor(bus, log, { ...defaultPolicy, hookMs: 400 });
  for (const spec of specs) {
    await supervisor.add(spec.name, () => createPin(entryOf(spec), runner.handle(channelOf(spec)), life));
  }
  await runner.start();
  await clock.advance(0);
  return {
    clock,
    bus,
    log,
    hardware,
    runner,
    supervisor,
    life,
    user,
    /** Takes what has been seen since the last call. */
    take: () => seen.splice(0),
    /** Sends a command and lets `ms` pass; returns what came back. */
    async command(pin: string, val: unknown, extra: object = {}, ms = 0) {
      seen.splice(0);
      const { msg_id } = user.send({ IoMessage: { pin_name: pin, val, ...extra } });
      await clock.advance(ms);
      const answers = seen.filter(({ reply_to }) => reply_to === msg_id);
      return { msg_id, answers, all: seen.splice(0) };
    },
  };
}
