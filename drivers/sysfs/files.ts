import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';

/** A pin of this driver, as its keys name it. `poll` in ms. */
export type SysfsAddress =
  | { readonly kind: 'w1'; readonly id: string; readonly poll: number }
  | { readonly kind: 'iio'; readonly device: string; readonly channel: string; readonly poll: number }
  | { readonly kind: 'led'; readonly name: string; readonly poll: number };

/** A value as sysfs has it; `uncertain` says why it may be wrong. */
export interface SysfsValue {
  readonly value: RawValue;
  readonly uncertain?: string;
}

/** °C that a DS18B20 shows after a power failure until it has measured; also a possible temperature. */
const POWER_ON = 85;

/** Reads the value at an address. Rejects with a DcsError. */
export async function readAddress(root: string, address: SysfsAddress): Promise<SysfsValue> {
  if (address.kind === 'w1') return await readThermometer(root, address.id);
  if (address.kind === 'led') {
    return { value: number(await text(ledFile(root, address.name, 'brightness')), address.name) > 0 };
  }
  return { value: await readIio(root, address.device, address.channel) };
}

/** Writes an LED or an IIO output. Resolves with the resolution of the output; see Port.resolution. Rejects with a DcsError. */
export async function writeAddress(root: string, address: SysfsAddress, value: RawValue): Promise<number | undefined> {
  if (address.kind === 'w1') throw new DcsError('READ_ONLY', `${address.id} is a thermometer`);
  if (address.kind === 'iio') {
    return await writeIio(root, address.device, address.channel, Number(value));
  }
  const full = value === true ? await text(ledFile(root, address.name, 'max_brightness')) : '0';
  await put(ledFile(root, address.name, 'brightness'), full.trim());
  return undefined;
}

/** `w1_slave` has two lines: YES when the checksum is right, and t= in thousandths of a degree. */
async function readThermometer(root: string, id: string): Promise<SysfsValue> {
  const found = await text(join(root, 'bus/w1/devices', id, 'w1_slave'));
  if (!/crc=[0-9a-f]{2} YES\s/.test(found)) {
    throw new DcsError('BAD_REPLY', `wrong checksum from the thermometer ${id}`, { found: found.trim() });
  }
  // A short circuit gives only zeros, and their checksum is right. A working thermometer never has only zeros.
  if (/^(00 ){9}/.test(found))
    throw new DcsError('BAD_REPLY', `nothing but zeros from the thermometer ${id}`, { found });
  const value = number(/t=(-?\d+)/.exec(found)?.[1], id) / 1000;
  if (value !== POWER_ON) return { value };
  return { value, uncertain: '85 °C is also what a thermometer says whose power has failed' };
}

async function readIio(root: string, device: string, channel: string): Promise<number> {
  const folder = await iioFolder(root, device);
  const processed = await optional(join(folder, `${channel}_input`));
  if (processed !== undefined) return number(processed, channel);
  const raw = number(await text(join(folder, `${channel}_raw`)), channel);
  const { scale, offset } = await scaling(folder, channel);
  return (raw + offset) * scale;
}

async function writeIio(root: string, device: string, channel: string, value: number): Promise<number> {
  const folder = await iioFolder(root, device);
  const { scale, offset } = await scaling(folder, channel);
  const raw = Math.round(value / scale - offset);
  if (!Number.isSafeInteger(raw))
    throw new DcsError('OUT_OF_RANGE', `${value} does not fit ${channel}`, { found: value });
  await put(join(folder, `${channel}_raw`), String(raw));
  return Math.abs(scale);
}

/** Scale and offset of the channel (in_voltage0_scale), else of all channels of its kind (in_voltage_scale). */
async function scaling(folder: string, channel: string): Promise<{ readonly scale: number; readonly offset: number }> {
  const kind = channel.replace(/\d+$/, '');
  const of = async (what: string) =>
    (await optional(join(folder, `${channel}_${what}`))) ?? (await optional(join(folder, `${kind}_${what}`)));
  return { scale: number((await of('scale')) ?? '1', channel), offset: number((await of('offset')) ?? '0', channel) };
}

/** The folder of an IIO device. Looked up by name each time, because its number may change. */
async function iioFolder(root: string, device: string): Promise<string> {
  const devices = join(root, 'bus/iio/devices');
  if (/^iio:device\d+$/.test(device)) return join(devices, device);
  const folders = await readdir(devices).catch(() => []);
  const fitting: string[] = [];
  for (const folder of folders) {
    if ((await optional(join(devices, folder, 'name')))?.trim() === device) fitting.push(join(devices, folder));
  }
  const [only, second] = fitting;
  if (only !== undefined && second === undefined) return only;
  if (second !== undefined) {
    throw new DcsError('NO_SUCH_CHANNEL', `${fitting.length} devices are named ${device}`, {
      expected: 'iio:device0, iio:device1, … to tell them apart',
    });
  }
  throw new DcsError('TIMEOUT', `no IIO device is named ${device}`, { found: folders.join(', ') || 'none at all' });
}

function ledFile(root: string, name: string, file: string): string {
  return join(root, 'class/leds', name, file);
}

async function text(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((error: unknown) => {
    throw fileError(file, error);
  });
}

async function put(file: string, value: string): Promise<void> {
  await writeFile(file, value).catch((error: unknown) => {
    throw fileError(file, error);
  });
}

async function optional(file: string): Promise<string | undefined> {
  return await readFile(file, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fileError(file, error);
  });
}

function fileError(file: string, error: unknown): DcsError {
  const code = systemCode(error);
  const detail = { found: code, cause: error };
  if (code === 'ENOENT' || code === 'ENODEV') return new DcsError('TIMEOUT', `${file} is not there`, detail);
  if (code === 'EACCES' || code === 'EPERM') {
    return new DcsError('NO_PERMISSION', `this process may not use ${file}`, {
      ...detail,
      expected: 'a udev rule that gives the file to its group, or a service that runs as root',
    });
  }
  if (code === 'EBUSY') return new DcsError('BUSY', `${file} is in use`, detail);
  return new DcsError('BAD_REPLY', `${file} cannot be used: ${messageOf(error)}`, detail);
}

function number(found: string | undefined, what: string): number {
  const trimmed = found?.trim() ?? '';
  const value = Number(trimmed);
  if (trimmed !== '' && Number.isFinite(value)) return value;
  throw new DcsError('BAD_REPLY', `${what} gives no number`, { found });
}
