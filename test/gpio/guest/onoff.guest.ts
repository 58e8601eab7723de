import { existsSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { until } from '../../support/wait.ts';
import { gpioPromises, input, listen, outcome, output } from './contract.ts';
import { sysfsNumber } from './sim-chip.ts';

const on = gpioPromises('onoff', 'sysfs-sim');
const exported = (offset: number) => existsSync(`/sys/class/gpio/gpio${sysfsNumber(on.chip, offset)}`);

describe('gpio onoff', () => {
  it('requests lines that a killed process left exported, and keeps an output among them unchanged', async () => {
    const number = sysfsNumber(on.chip, 4);
    writeFileSync('/sys/class/gpio/export', String(number));
    writeFileSync(`/sys/class/gpio/gpio${number}/direction`, 'high');
    writeFileSync('/sys/class/gpio/export', String(sysfsNumber(on.chip, 5)));
    const { port, channels } = await on.open(output(4), input(5));
    expect(on.chip.level(4)).toBe(true);
    on.chip.pull(5, true);
    expect(outcome(await port.read(channels))).toEqual([true, true]);
  });

  it('refuses settings that sysfs does not have, on that pin only, and leaves nothing exported', async () => {
    const { port, channels } = await on.open(
      input(0),
      input('DOOR'),
      input(5, { bias: 'pull-up' }),
      output(6, undefined, { drive: 'open-drain' }),
    );
    expect(outcome(await port.read(channels))).toEqual([false, 'NOT_SUPPORTED', 'NOT_SUPPORTED', 'NOT_SUPPORTED']);
    expect([5, 6].map(exported)).toEqual([false, false]);
  });

  it('recovers when another process unexports a line: the pin is bad, then good again', async () => {
    const made = await on.open(input(0), input(1));
    const seen = await listen(made, 0);
    writeFileSync('/sys/class/gpio/unexport', String(sysfsNumber(on.chip, 0)));
    on.chip.pull(0, true);
    await until('good again', () => {
      const last = seen.at(-1);
      return last?.ok && last.value === true;
    });
    expect(outcome(seen)).toContain('PORT_DOWN');
    expect(made.downs).toEqual([]);
  });

  it('counts edges that came too fast for sysfs', async () => {
    const made = await on.open(input(0));
    const seen = await listen(made, 0);
    // Within one turn of the event loop: nobody can read between the two.
    on.chip.pull(0, true);
    on.chip.pull(0, false);
    await until('the count', () => (made.counters.get('edges_merged') ?? 0) > 0);
    expect(seen.at(-1)).toMatchObject({ ok: true, value: false });
  });
});
