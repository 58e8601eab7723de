import { constants, existsSync } from 'node:fs';
import { access, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Clock, sleep } from '../../src/clock/clock.ts';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';

/** Checks for the udev rule that gives the files of a new channel to this process's group, and the pause between two. */
const EXPORT_TRIES = 50;
const EXPORT_WAIT_MS = 10;
const SETTINGS = ['period', 'duty_cycle', 'enable'];

/** The folder of a chip, by number (pwmchip0) or by the name of its device. `undefined` when this machine has no such chip. */
export async function findChip(root: string, chip: string): Promise<string | undefined> {
  const chips = join(root, 'class/pwm');
  const names = existsSync(chips) ? await readdir(chips) : [];
  if (names.includes(chip)) return join(chips, chip);
  for (const name of names) {
    const device = join(chips, name, 'device');
    if (existsSync(device) && basename(await realpath(device)) === chip) return join(chips, name);
  }
  return undefined;
}

/**
 * The files of one channel in sysfs: `period` and `duty_cycle` in ns, `enable`. The kernel refuses a duty cycle longer than the
 * period, so the order of writes matters.
 */
export class ChannelFiles {
  readonly #chip: string;
  readonly #number: number;
  readonly #periodNs: number;

  constructor(chip: string, number: number, frequency: number) {
    this.#chip = chip;
    this.#number = number;
    this.#periodNs = Math.round(1e9 / frequency);
  }

  /** Makes the kernel create the channel's files. Rejects with a DcsError. */
  async export(clock: Clock): Promise<void> {
    const count = Number(await this.#read(join(this.#chip, 'npwm')));
    if (this.#number >= count) {
      throw new DcsError('NO_SUCH_CHANNEL', `${basename(this.#chip)} has no channel ${this.#number}`, {
        found: this.#number,
        expected: `0 to ${count - 1}`,
      });
    }
    if (!existsSync(this.#file('enable'))) await this.#write(join(this.#chip, 'export'), String(this.#number));
    for (let tries = 0; !(await this.#isWritable()) && tries < EXPORT_TRIES; tries++)
      await sleep(clock, EXPORT_WAIT_MS);
  }

  /** Distance of neighbouring duty cycles: one nanosecond, and the sixth digit that `dutyCycle` rounds to. */
  get resolution(): number {
    return 1 / this.#periodNs + 1e-6;
  }

  /** The share of a period that the output is on, 0 to 1; 0 while it is not enabled. */
  async dutyCycle(): Promise<number> {
    const [enabled, duty, period] = [
      await this.#get('enable'),
      await this.#get('duty_cycle'),
      await this.#get('period'),
    ];
    if (enabled !== 1 || period === 0) return 0;
    return Number(((await this.#inverted()) ? 1 - duty / period : duty / period).toPrecision(6));
  }

  async set(dutyCycle: number): Promise<void> {
    const dutyNs = Math.round(dutyCycle * this.#periodNs);
    if (await this.#inverted()) {
      // A previous user left the polarity inverted, so on would be off. The kernel changes it only while disabled.
      await this.#put('enable', 0);
      await this.#write(this.#file('polarity'), 'normal');
    }
    const period = await this.#get('period');
    if (period !== this.#periodNs) {
      // The duty cycle must fit into the period at each step; in a shorter period it would also be a larger share.
      if (period > this.#periodNs) await this.#put('duty_cycle', dutyNs);
      await this.#put('period', this.#periodNs);
    }
    await this.#put('duty_cycle', dutyNs);
    if ((await this.#get('enable')) !== 1) await this.#put('enable', 1);
  }

  /** A udev rule gives the files of a new channel to a group, one after the other. */
  async #isWritable(): Promise<boolean> {
    try {
      for (const name of SETTINGS) await access(this.#file(name), constants.W_OK);
      return true;
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      return false;
    }
  }

  async #inverted(): Promise<boolean> {
    const file = this.#file('polarity');
    // A chip without the file has only the normal polarity.
    return existsSync(file) && (await this.#read(file)).trim() === 'inversed';
  }

  #file(name: string): string {
    return join(this.#chip, `pwm${this.#number}`, name);
  }

  async #get(name: string): Promise<number> {
    return Number(await this.#read(this.#file(name)));
  }

  #put(name: string, value: number): Promise<void> {
    return this.#write(this.#file(name), String(value));
  }

  async #read(file: string): Promise<string> {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      throw failure(error, file);
    }
  }

  async #write(file: string, text: string): Promise<void> {
    try {
      // Never creates the file.
      await writeFile(file, text, { flag: constants.O_WRONLY | constants.O_TRUNC });
    } catch (error) {
      throw failure(error, file);
    }
  }
}

function failure(error: unknown, file: string): DcsError {
  const code = systemCode(error);
  const detail = { cause: error };
  if (code === 'EACCES' || code === 'EPERM') {
    return new DcsError('NO_PERMISSION', `${file} may not be used by this process`, {
      ...detail,
      expected: 'a user of the group that owns it (gpio on Raspberry Pi OS)',
    });
  }
  if (code === 'EBUSY') return new DcsError('BUSY', `the channel of ${file} is used by the kernel`, detail);
  if (code === 'ENOENT' || code === 'ENODEV') return new DcsError('PORT_DOWN', `${file} is gone`, detail);
  return new DcsError('DEVICE_REFUSED', `${file}: ${messageOf(error)}`, detail);
}
