import { describe, expect, it } from 'vitest';
import { addPinsToTable } from '../../src/agent/pins.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Supervisor } from '../../src/bus/supervisor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { createPin, openingValue } from '../../src/io/create-pin.ts';
import type { ChannelHandle } from '../../src/io/port-runner.ts';
import type { PinSpec, RawValue } from '../../src/pin/pin.ts';
import { pinSpec } from '../support/pin-bench.ts';
import { pinEnvironment } from '../support/pin-environment.ts';
import { memoryLog } from '../support/ports.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });

/** An output on a line on which values can only be sent: nothing is ever heard of it. `overrideS`: on by hand for so long. */
async function silent(spec: PinSpec, overrideS?: number) {
  const clock = new ManualClock();
  const log = memoryLog();
  const bus = new Bus({ clock });
  const life = pinEnvironment(bus, log);
  if (overrideS !== undefined) {
    const until = clock.unix() + overrideS;
    await life.kept.saveOverride(spec.name, { value: true, node: 'here', actor: 'person', until });
  }
  addPinsToTable(life.table, [{ spec, port: 'line', key: 'lamp', address: {} }], life.kept, clock, log);
  const entry = life.table.get(spec.name);
  if (!entry) throw new Error('no pin');
  const sent: (RawValue | undefined)[] = [];
  const never = () => Promise.reject(new DcsError('NOT_SUPPORTED', 'it can only be written'));
  const handle: ChannelHandle = {
    port: 'line',
    debounced: false,
    read: never,
    write: async (value) => {
      sent.push(value);
      return {};
    },
    resolution: () => undefined,
    preset: never,
    float: never,
    listen: () => () => undefined,
  };
  await new Supervisor(bus, log).add('lamp', () => createPin(entry, handle, life));
  sent.push(openingValue(entry, true));
  return { clock, sent };
}

describe('an output on hardware without read-back', () => {
  it('ends an override from before the restart at its time', async () => {
    const { clock, sent } = await silent(lamp, 60);
    await clock.advance(59_000);
    expect(sent).toEqual([true]);
    await clock.advance(2000);
    expect(sent).toEqual([true, false]);
  });

  it('that starts on goes off after max_on', async () => {
    const { clock, sent } = await silent({ ...lamp, initial: true, rules: { maxOnMs: 5000 } });
    await clock.advance(4000);
    expect(sent).toEqual([true]);
    await clock.advance(2000);
    expect(sent).toEqual([true, false]);
  });
});
