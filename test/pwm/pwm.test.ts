import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pwm } from '../../drivers/pwm/driver.ts';
import { conformance } from '../conformance/suite.ts';
import { openPort, type PinText } from '../support/ports.ts';

/** A sysfs with one PWM chip of two channels; an exported channel is shown as the kernel shows it. */
class FakeSysfs {
  readonly root = mkdtempSync(join(tmpdir(), 'dcs-io-pwm-'));
  readonly #chip = join(this.root, 'class/pwm/pwmchip0');
  readonly #watcher: NodeJS.Timeout;

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

  show(channel: number, values: Record<string, number> = {}): void {
    mkdirSync(join(this.#chip, `pwm${channel}`));
    const all = { period: 0, duty_cycle: 0, enable: 0, ...values };
    for (const [name, value] of Object.entries(all)) writeFileSync(this.file(channel, name), `${value}\n`);
  }

  remove(): void {
    clearInterval(this.#watcher);
    rmSync(this.root, { recursive: true, force: true });
  }

  #serve(): void {
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

const output = (channel: number, start?: number, frequency = 1000): PinText => ({
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
    expect(state()).toEqual([500_000, 50_000, 1]);
    await expect(port.write(channel, 1.1)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await port.close();
    expect(state()).toEqual([500_000, 50_000, 1]);
  });

  it('leaves a channel without a start as it is, and makes room for a shorter period', async () => {
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

  it('lets a channel the chip does not have fail alone', async () => {
    const sys = fake();
    const pins = [output(7, 0.5), output(0, 0.5)];
    const { port, channels } = await openPort(pwm, { chip: 'pwmchip0', root: sys.root }, pins);
    const [wrong, right] = await port.read(channels);
    expect(wrong).toMatchObject({ ok: false, error: { code: 'NO_SUCH_CHANNEL', expected: '0 to 1' } });
    expect(right).toEqual({ ok: true, value: 0.5 });
    await port.close();
  });

  it('is skipped where there is no such chip', async () => {
    await expect(openPort(pwm, { chip: 'pwmchip9', root: fake().root }, [output(0)])).rejects.toThrow(
      /skipped.*pwmchip9/,
    );
  });
});
