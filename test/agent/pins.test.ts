import { describe, expect, it } from 'vitest';
import { addPinsToTable } from '../../src/agent/pins.ts';
import { Bus } from '../../src/bus/bus.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { pinSpec } from '../support/pin-bench.ts';
import { pinEnvironment } from '../support/pin-environment.ts';
import { memoryLog } from '../support/ports.ts';

const spec = pinSpec({ name: 'pump', direction: 'out', initial: false, safe: false });

/** What the pump does after a start `later` seconds after it was overridden with on for 60 s. */
async function startAfter(later: number, as = spec) {
  const clock = new ManualClock();
  const { log, table, kept } = pinEnvironment(new Bus({ clock }), memoryLog());
  await kept.saveOverride('pump', { value: true, node: 'hall', actor: 'person', until: clock.unix() + 60 });
  await clock.advance(later * 1000);
  addPinsToTable(table, [{ spec: as, port: 'relays', key: '1', address: {} }], kept, clock, log);
  return { clock, kept, output: table.get('pump')?.output };
}

describe('an override from before a restart', () => {
  it('is in force again for the remaining time', async () => {
    const { output, kept } = await startAfter(20);
    expect(output?.decision).toMatchObject({ by: 'override', value: true });
    expect(output?.override?.until).toBe(60_000);
    expect(kept.overrideOf('pump')).toBeDefined();
  });

  it('is not used when the pin is of another kind now', async () => {
    const mode = pinSpec({ ...spec, kind: 'text', words: ['off', 'on'], initial: 'off', safe: 'off' });
    const { output } = await startAfter(20, mode);
    expect(output?.override).toBeUndefined();
    expect(output?.decision).toMatchObject({ by: 'start', value: 'off' });
  });

  it('is dropped when it has ended meanwhile', async () => {
    const { output, kept } = await startAfter(61);
    expect(output?.override).toBeUndefined();
    expect(output?.decision).toMatchObject({ by: 'start', value: false });
    expect(kept.overrideOf('pump')).toBeUndefined();
  });
});
