import { createMock } from '../../drivers/mock/driver.ts';
import { MockHardware } from '../../drivers/mock/hardware.ts';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { defaultPolicy, Supervisor } from '../../src/bus/supervisor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel } from '../../src/driver/driver.ts';
import { toRaw } from '../../src/io/convert.ts';
import { PinActor } from '../../src/io/pin-actor.ts';
import { PortRunner } from '../../src/io/port-runner.ts';
import type { PinSpec } from '../../src/pin/pin.ts';
import { valueAtOpen, valueAtReturn } from '../../src/safety/outputs.ts';
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
    debounceMs: 0,
    ...spec,
  };
}

/** A message as a test sees it: its subject and data. */
export type Seen = Record<string, unknown> & { subject: string };

/** Pins on mock hardware with a clock in the test's hand; the channel of a pin has the pin's name. */
export async function pinBench(specs: readonly PinSpec[], options: object = {}) {
  const clock = new ManualClock();
  const bus = new Bus({ clock });
  const log = memoryLog();
  const hardware = new MockHardware();
  const driver = createMock(hardware);
  const channelOf = ({ name, kind, direction, debounceMs }: PinSpec): Channel => ({
    key: name,
    kind,
    direction,
    debounceMs,
    address: {},
  });
  const runner = new PortRunner(
    'sim',
    driver,
    driver.options.parse(options),
    specs.map((spec) => ({
      channel: channelOf(spec),
      startAt: () => {
        const value = valueAtOpen(spec);
        return value === undefined ? undefined : toRaw(spec, value);
      },
      returnAt: (confirmed) => valueAtReturn(spec, confirmed, toRaw),
    })),
    { clock, log },
  );
  const user = new Actor('user');
  const seen: Seen[] = [];
  user.onAny(({ payload }) => {
    for (const [subject, data] of Object.entries(payload)) {
      if (typeof data === 'object' && data !== null) seen.push({ subject, ...data });
    }
  });
  bus.join(user);
  const supervisor = new Supervisor(bus, log, { ...defaultPolicy, hookMs: 400 });
  for (const spec of specs) {
    await supervisor.add(spec.name, () => new PinActor(spec, runner.handle(channelOf(spec)), log));
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
