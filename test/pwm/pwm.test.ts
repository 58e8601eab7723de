import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pwm } from '../../drivers/pwm/driver.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { conformance } from '../../src/testing/conformance.ts';
import { openPort, type PinKeys } from '../support/ports.ts';
import { until } from '../support/wait.ts';

/** A sysfs with one PWM chip of two channels; an exported channel is shown as the kernel shows it. */
class FakeSysfs {
  readonly root = mkdtempSync(join(tmpdir(), 'dcs-io-pwm-'));
  readonly #chip = join(this.root, 'class/pwm/pwmchip0');
  readonly #watcher: NodeJS.Timeout;
  /** Channels that are asked for do not come. */
  stalled = false;

  constructor() {
    const device = join(this.root, 'devices/platform/fe20c000.pwm');
    mkdirSync(device, { recursive: true });
    mkdirSync(this.#chip, { recursive: true });
    symlinkSync(device, join(this.#chip, 'device'));
    for (const [name, text] of Object.entries({ npwm: '2\n', export: '', unexport: '' })) {
      writeFileSync(join(this.#chip, name), text);
    }
    this.#watcher = setInterval(() => this.#serve(), 1);
  }

  file(channel: number, name: string): string {
    return join(this.#chip, `pwm${channel}`, name);
  }

  get(channel: number, name: string): number {
    return Number(readFileSync(this.file(channel, name), 'utf8'));
  }

  show(channel: number, values: Record<string, number | string> = {}): void {
    mkdirSync(join(this.#chip, `pwm${channel}`));
    const all = { period: 0, duty_cycle: 0, enable: 0, polarity: 'normal', ...values };
    for (const [name, value] of Object.entries(all)) writeFileSync(this.file(channel, name), `${value}\n`);
  }

  /** The chip's module is unloaded. */
  unload(): void {
    clearInterval(this.#watcher);
    rmSync(this.#chip, { recursive: true });
  }

  remove(): void {
    clearInterval(this.#watcher);
    rmSync(this.root, { recursive: true, force: true });
  }

  #serve(): void {
    if (this.stalled) return;
    const asked = readFileSync(join(this.#chip, 'export'), 'utf8').trim();
    if (asked !== '' && !existsSync(this.file(Number(asked), 'enable'))) this.show(Number(asked));
  }
}

const fakes: FakeSysfs[] = [];
const fake = () => {
  const made = new FakeSysfs();
  fakes.push(made);
  return made;
};
afterEach(() => {
  for (const one of fakes.splice(0)) one.remove();
});

const output = (channel: number, start?: number, frequency = 1000): PinKeys => ({
  keys: { pwm: channel, frequency },
  direction: 'out',
  ...(start !== undefined && { start }),
});

let shared: FakeSysfs;
beforeAll(() => {
  shared = new FakeSysfs();
});
afterAll(() => shared.remove());
conformance('pwm', {
  driver: pwm,
  options: () => ({ chip: 'pwmchip0', root: shared.root }),
  output: {
    keys: { pwm: 0 },
    values: [0.25, 1],
    wrong: 'much',
    observe: async () => shared.get(0, 'duty_cycle') / shared.get(0, 'period'),
  },
  patienceMs: 2000,
});

describe('pwm by the kernel', () => {
  it('finds the chip by its device, and sets period, duty and enable', async () => {
    const sys = fake();
    const { port, channels } = await openPort(pwm, { chip: 'fe20c000.pwm', root: sys.root }, [output(1, 0.5, 2000)]);
    const state = () => ['period', 'duty_cycle', 'enable'].map((name) => sys.get(1, name));
    expect(state()).toEqual([500_000, 250_000, 1]);
    const [channel] = channels;
    if (!channel) throw new Error('no channel');
    expect(await port.write(channel, 0.1)).toEqual({ readBack: 0.1 });
    expect(port.resolution?.(channel, 0.1)).toBeCloseTo(0.000003, 9);
    expect(state()).toEqual([500_000, 50_000, 1]);
    await expect(port.write(channel, 1.1)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await port.close();
    expect(state()).toEqual([500_000, 50_000, 1]);
  });

  it('leaves a channel without an opening value unchanged, and then sets a shorter period', async () => {
    const sys = fake();
    sys.show(0, { period: 20_000_000, duty_cycle: 15_000_000, enable: 1 });
    const { port, channels } = await openPort(pwm, { chip: 'pwmchip0', root: sys.root }, [output(0)]);
    expect(await port.read(channels)).toEqual([{ ok: true, value: 0.75 }]);
    expect(sys.get(0, 'period')).toBe(20_000_000);
    const [channel] = channels;
    if (!channel) throw new Error('no channel');
    await port.write(channel, 0.2);
    expect([sys.get(0, 'period'), sys.get(0, 'duty_cycle')]).toEqual([1_000_000, 200_000]);
    await port.close();
  });

  it('does not begin an expired command', async () => {
    const sys = fake();
    const { port, channels } = await openPort(pwm, { chip: 'pwmchip0', root: sys.root }, [output(0, 0.5)]);
    const [channel] = channels;
    if (!channel) throw new Error('no channel');
    await expect(port.write(channel, 0.1, { expiresAt: -1 })).rejects.toMatchObject({ code: 'EXPIRED' });
    expect(sys.get(0, 'duty_cycle')).toBe(500_000);
    await port.close();
  });

  it('fails a channel that the chip does not have, and no other', async () => {
    const sys = fake();
    const pins = [output(7, 0.5), output(0, 0.5)];
    const { port, channels } = await openPort(pwm, { chip: 'pwmchip0', root: sys.root }, pins);
    const [wrong, right] = await port.read(channels);
    expect(wrong).toMatchObject({ ok: false, error: { code: 'NO_SUCH_CHANNEL', expected: '0 to 1' } });
    expect(right).toEqual({ ok: true, value: 0.5 });
    await port.close();
  });

  /** A port whose channel does not come when it is asked for, on a clock that moves only from then on when told to. */
  async function openInVain(sys: FakeSysfs) {
    sys.stalled = true;
    const clock = new ManualClock();
    const opening = openPort(pwm, { chip: 'pwmchip0', root: sys.root }, [output(0, 0.5)], clock);
    let open = false;
    void opening.then(() => {
      open = true;
    });
    await until('the port', async () => {
      await clock.advance(10);
      return open;
    });
    const held = await opening;
    const [channel] = held.channels;
    if (!channel) throw new Error('no channel');
    return { ...held, channel, clock };
  }

  it('tries a channel again that could not be opened, then drives its opening value and tells it', async () => {
    const sys = fake();
    const { port, channel, clock, log, listen } = await openInVain(sys);
    const seen: Reading[] = [];
    listen(channel, (reading) => seen.push(reading));
    await until('the reason', () => seen.some(({ ok }) => !ok));
    sys.stalled = false;
    await until('the value', async () => {
      await clock.advance(10);
      return seen.some((reading) => reading.ok && reading.value === 0.5);
    });
    expect(sys.get(0, 'duty_cycle')).toBe(500_000);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
    expect(log.lines[1]?.message).toBe('pwm 0 of pwmchip0: by the kernel, 1000 Hz');
    await port.close();
    expect(clock.pending).toBe(0);
  });

  it('a command opens a channel that could not be opened before, and the next retry does not undo it', async () => {
    const sys = fake();
    const { port, channel, clock } = await openInVain(sys);
    sys.show(0);
    expect(await port.write(channel, 0.75)).toMatchObject({ readBack: 0.75 });
    await clock.advance(60_000);
    expect(await port.read([channel])).toEqual([{ ok: true, value: 0.75 }]);
    expect(clock.pending).toBe(0);
    await port.close();
  });

  it('on is on, also on a channel that was left inverted', async () => {
    const sys = fake();
    sys.show(0, { period: 1_000_000, duty_cycle: 250_000, enable: 1, polarity: 'inversed' });
    const { port, channels } = await openPort(pwm, { chip: 'pwmchip0', root: sys.root }, [output(0)]);
    expect(await port.read(channels)).toEqual([{ ok: true, value: 0.75 }]);
    const [channel] = channels;
    if (!channel) throw new Error('no channel');
    expect(await port.write(channel, 0.25)).toMatchObject({ readBack: 0.25 });
    expect(readFileSync(sys.file(0, 'polarity'), 'utf8')).toBe('normal');
    expect([sys.get(0, 'duty_cycle'), sys.get(0, 'enable')]).toEqual([250_000, 1]);
    await port.close();
  });

  it('goes down when its chip is unloaded, and waits for one whose module has not been loaded yet', async () => {
    const sys = fake();
    const options = { chip: 'fe20c000.pwm', root: sys.root };
    const { port, channels, downs } = await openPort(pwm, options, [output(0, 0.5)]);
    mkdirSync(join(sys.root, 'bus/platform/devices/fe20c000.pwm'), { recursive: true });
    sys.unload();
    await expect(port.read(channels)).rejects.toMatchObject({ code: 'PORT_DOWN' });
    expect(downs).toMatchObject([{ message: 'the PWM chip pwmchip0 is gone' }]);
    await port.close();
    await expect(openPort(pwm, options, [output(0)])).rejects.toMatchObject({
      code: 'PORT_DOWN',
      message: expect.stringContaining('not taken the PWM chip fe20c000.pwm into use yet'),
    });
  });

  it('is skipped on a machine without such a chip', async () => {
    await expect(openPort(pwm, { chip: 'pwmchip9', root: fake().root }, [output(0)])).rejects.toThrow(
      /skipped.*pwmchip9/,
    );
  });
});
