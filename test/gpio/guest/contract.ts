import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { gpio } from '../../../drivers/gpio/driver.ts';
import type { Channel, Reading } from '../../../src/driver/contract.ts';
import { conformance } from '../../../src/testing/conformance.ts';
import { type OpenedPort, openPort, type PinKeys } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { drivenLevels, gpiod, holdLine, SimChip, spawnHolder } from './sim-chip.ts';

/** A bench with a simulated chip of 8 lines and one backend on it. */
export interface Bench {
  readonly chip: SimChip;
  open(...pins: PinKeys[]): Promise<OpenedPort>;
}

export const input = (gpio: number | string, keys: object = {}): PinKeys => ({
  keys: { gpio, ...keys },
  direction: 'in',
});
export const output = (gpio: number | string, start?: boolean, keys: object = {}): PinKeys => ({
  keys: { gpio, ...keys },
  direction: 'out',
  ...(start === undefined ? {} : { start }),
});

/** What readings came to: values, or error codes. */
export const outcome = (readings: readonly Reading[]) => readings.map((one) => (one.ok ? one.value : one.error.code));

export const channelAt = ({ channels }: OpenedPort, at: number): Channel => {
  const channel = channels[at];
  if (!channel) throw new Error(`no channel ${at}`);
  return channel;
};

/** Everything a channel tells, once its first reading is there. */
export const listen = async (held: OpenedPort, at: number): Promise<Reading[]> => {
  const seen: Reading[] = [];
  held.listen(channelAt(held, at), (reading) => seen.push(reading));
  await until('the first reading', () => seen.length > 0);
  return seen;
};

/** How long the emulated machine may take to show a change. */
export const GUEST_PATIENCE_MS = 30_000;

/**
 * Does again what a pause of the machine has spoilt: a burst is one only if nothing in it took longer than what follows
 * on it. `attempt` resolves with its longest pause, in ms; what it did last was without one of `limitMs`.
 */
export async function undisturbed(limitMs: number, attempt: () => Promise<number>): Promise<void> {
  for (let tries = 0; tries < 20; tries++) if ((await attempt()) < limitMs) return;
  throw new Error(`20 times this machine stood still for ${limitMs} ms`);
}

/** Pulls a line to and fro, the first time to `first`. Resolves with the longest pause between two pulls, in ms. */
export async function bounce(
  chip: SimChip,
  offset: number,
  times: number,
  first: boolean,
  pauseMs = 0,
): Promise<number> {
  let longest = 0;
  let before = performance.now();
  for (let n = 0; n < times; n++) {
    chip.pull(offset, (n % 2 === 0) === first);
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
  }
  return longest;
}

/** Runs work as a user without rights who is in these groups. */
export async function asUser(groups: readonly number[], work: () => Promise<void>): Promise<void> {
  process.setgroups?.([...groups]);
  process.setegid?.(65_534);
  process.seteuid?.(65_534);
  try {
    await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.([0]);
  }
}

/** The bench of a test file; the chip lives as long as the file, a port as long as its test. */
export function bench(backend: 'chardev' | 'onoff' | 'auto', label: string): Bench {
  let chip: SimChip | undefined;
  const held: OpenedPort[] = [];
  beforeAll(() => {
    chip = new SimChip(label, 8, new Map([[7, `${label}-door`]]));
  });
  afterAll(() => chip?.remove());
  beforeEach(() => {
    for (let offset = 0; offset < 8; offset++) chip?.pull(offset, false);
  });
  afterEach(async () => {
    for (const { port } of held.splice(0)) await port.close();
  });
  return {
    get chip() {
      if (!chip) throw new Error('the chip is made before the tests');
      return chip;
    },
    async open(...pins) {
      const made = await openPort(gpio, { chip: label, backend }, pins);
      held.push(made);
      return made;
    },
  };
}

/** What both kernel interfaces promise. */
export function gpioPromises(backend: 'chardev' | 'onoff', label: string): Bench {
  const on = bench(backend, label);

  conformance(`gpio ${backend}`, {
    driver: gpio,
    options: () => ({ chip: label, backend }),
    input: { keys: { gpio: 1 }, values: [false, true], drive: async (value) => on.chip.pull(1, value === true) },
    output: { keys: { gpio: 2 }, values: [false, true], wrong: 'banana', observe: async () => on.chip.level(2) },
    plug: { unplug: async () => on.chip.unplug(), replug: async () => on.chip.plug() },
    teardown: async () => {
      if (!on.chip.plugged) on.chip.plug();
    },
    patienceMs: GUEST_PATIENCE_MS,
  });

  describe(`gpio ${backend}`, () => {
    it('finds the chip by its device name too', async () => {
      const { port } = await openPort(gpio, { chip: on.chip.device, backend }, [output(3, true)]);
      expect(on.chip.level(3)).toBe(true);
      await port.close();
    });

    it('skips a chip that this machine does not have, and names those it has', async () => {
      await expect(openPort(gpio, { chip: 'pinctrl-bcm2711', backend }, [input(0)])).rejects.toThrow(
        new RegExp(`skipped: no gpiochip pinctrl-bcm2711 .*${label}`),
      );
    });

    it('fails a line that does not exist, and no other', async () => {
      const { port, channels } = await on.open(input(0), input(99), output(3, true));
      expect(outcome(await port.read(channels))).toEqual([false, 'NO_SUCH_CHANNEL', true]);
      expect(on.chip.level(3)).toBe(true);
    });

    it('reports a busy line, runs the others, and requests it once it is free', async () => {
      const holder = await holdLine(on.chip, 4, true);
      const made = await on.open(input(0), output(4, false), output(5, true));
      const seen = await listen(made, 1);
      expect(outcome(seen)).toEqual(['BUSY']);
      await expect(made.port.write(channelAt(made, 1), true)).rejects.toMatchObject({ code: 'BUSY' });
      expect(outcome(await made.port.read(made.channels))).toEqual([false, 'BUSY', true]);
      holder.kill();
      await until('the line to be taken', () => seen.at(-1)?.ok);
      expect(seen.at(-1)).toEqual({ ok: true, value: false });
      await made.port.write(channelAt(made, 1), true);
      expect(on.chip.level(4)).toBe(true);
    });

    it('keeps the level of outputs without an opening value', async () => {
      const first = await on.open(output(3, true), output(4, false), output(5, true));
      await first.port.close();
      // The simulator puts a freed line back to its pull: what is to be kept is what is there now.
      on.chip.pull(3, true);
      const before = [3, 4, 5].map((offset) => on.chip.level(offset));
      const { port, channels } = await on.open(output(3), output(4), output(5));
      expect([3, 4, 5].map((offset) => on.chip.level(offset))).toEqual(before);
      expect(before).toContain(true);
      expect(outcome(await port.read(channels))).toEqual(before);
    });

    it('never drives an output to another level than its opening value, not for a microsecond', async () => {
      for (const start of [true, false, true]) {
        const levels = await drivenLevels(on.chip, 6, async () => {
          const { port } = await on.open(output(6, start));
          await port.close();
        });
        expect(levels.length).toBeGreaterThan(0);
        expect(new Set(levels)).toEqual(new Set([start ? '1' : '0']));
      }
    });

    it('never drives an output to another level than it has, without an opening value', async () => {
      // Last driven high by the test before, or pulled so: either way it shows high.
      on.chip.pull(6, true);
      expect(on.chip.level(6)).toBe(true);
      const levels = await drivenLevels(on.chip, 6, () => on.open(output(6)));
      expect(levels).not.toContain('0');
      expect(on.chip.level(6)).toBe(true);
    });

    it('requests its lines again after a kill -9 of the process that held them', { timeout: 120_000 }, async () => {
      const holder = spawnHolder(label, backend);
      onTestFinished(() => void holder.process.kill('SIGKILL'));
      await until('the other process to hold the lines', () => holder.output().includes('holding'), 60_000);
      expect(on.chip.level(3)).toBe(true);
      holder.process.kill('SIGKILL');
      await until('its end', () => holder.process.signalCode !== null);
      const made = await on.open(output(3, true), input(0));
      expect(outcome(await made.port.read(made.channels))).toEqual([true, false]);
      expect(on.chip.level(3)).toBe(true);
      await made.port.write(channelAt(made, 0), false);
      expect(on.chip.level(3)).toBe(false);
    });

    it('is the holder in gpioinfo, and releases its lines', async () => {
      const { port } = await on.open(input(0), output(3, true));
      expect(gpiod('gpioinfo', on.chip.device)).toMatch(/line +3: +unnamed +"(dcs-io|sysfs)" +output/);
      await port.close();
      expect(gpiod('gpioinfo', on.chip.device)).not.toMatch(/"(dcs-io|sysfs)"/);
    });
  });
  return on;
}
