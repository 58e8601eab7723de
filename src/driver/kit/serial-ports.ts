import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { DcsError } from '../../errors/errors.ts';
import type { AccessNeeds, DetectedPort } from '../contract.ts';

/** A serial port of this machine. */
export interface FoundPort {
  readonly path: string;
  readonly vid?: string;
  readonly pid?: string;
  readonly serial?: string;
  /** Number of the USB interface, for adapters with several ports. */
  readonly interface?: number;
  readonly maker?: string;
  readonly product?: string;
}

const USB_ID = 'four hexadecimal digits in quotes, like "0403"';
const usbId = z
  .string({ error: USB_ID })
  .regex(/^(?:0x)?[0-9a-f]{4}$/i, { error: USB_ID })
  .transform((text) => text.slice(-4).toLowerCase());

/** USB ids of an adapter, as hexadecimal digits without 0x. */
export const usbSchema = z.strictObject({
  vid: usbId.describe('vendor id, four hexadecimal digits: "0403"'),
  pid: usbId.describe('product id, four hexadecimal digits: "6001"'),
  serial: z.string().optional().describe('serial number; needed when two of the kind are plugged in'),
  interface: z.int().min(0).optional().describe('number of the interface, for adapters with several ports'),
});
/** USB ids of a serial adapter. */
export type UsbIds = z.output<typeof usbSchema>;

/** Rights that serial ports need. */
export const serialAccess: AccessNeeds = {
  groups: ['dialout'],
  devices: ['/dev/ttyUSB*', '/dev/ttyACM*', '/dev/ttyAMA*', '/dev/ttyS*'],
  hint: 'is it plugged in? dcs-io serial list; on a Raspberry Pi: raspi-config, Interface Options, Serial Port',
};

/** Lists the serial ports in the kernel's sysfs. `root` is for tests. */
export function listPorts(root = '/sys/class/tty'): FoundPort[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .filter((name) => isSerial(join(root, name)))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => describePort(join(root, name), `/dev/${name}`));
}

/** Maps each port's path to its permanent name from udev. `root` is for tests. */
export function lastingPaths(root = '/dev/serial/by-id'): ReadonlyMap<string, string> {
  if (!existsSync(root)) return new Map();
  const names = readdirSync(root).map((name) => join(root, name));
  // The link of an adapter just unplugged may still exist.
  return new Map(names.filter((name) => existsSync(name)).map((name) => [realpathSync(name), name]));
}

/** Detects serial ports as ports of a driver; `options` makes the driver's keys from a path. */
export async function detectSerialPorts(options: (path: string) => DetectedPort['options']): Promise<DetectedPort[]> {
  const lasting = lastingPaths();
  return listPorts().map(({ path: device, maker = '', product = '' }) => {
    const path = lasting.get(device) ?? device;
    return { path, about: `${maker} ${product}`.trim(), options: options(path) };
  });
}

/**
 * Returns the path of the adapter with these ids. Throws PORT_DOWN when it is not plugged in, BAD_CONFIG when several
 * fit.
 */
export function findUsb(ids: UsbIds, ports: readonly FoundPort[]): string {
  const fitting = ports.filter(
    (port) =>
      port.vid === ids.vid &&
      port.pid === ids.pid &&
      (ids.serial === undefined || port.serial === ids.serial) &&
      (ids.interface === undefined || port.interface === ids.interface),
  );
  const [only, second] = fitting;
  if (only && !second) return only.path;
  const name = usbName(ids);
  if (only) {
    throw new DcsError('BAD_CONFIG', `${fitting.length} serial ports are USB ${name}`, {
      found: fitting.map(({ path, serial }) => `${path} (serial ${serial ?? 'none'})`).join(', '),
      expected: 'serial: or interface: to tell them apart, or path: /dev/serial/by-path/…',
    });
  }
  const present = ports.flatMap(({ path, vid, pid }) => (vid ? [`${vid}:${pid} ${path}`] : [])).join(', ');
  throw new DcsError('PORT_DOWN', `no serial port with USB ${name} is plugged in`, {
    found: present || 'no USB serial port at all',
  });
}

/** Text for people: `0403:6001 serial A1`. */
export function usbName({ vid, pid, serial }: UsbIds): string {
  return `${vid}:${pid}${serial === undefined ? '' : ` serial ${serial}`}`;
}

/** Virtual terminals have no device; an unused 8250 port has type 0. */
function isSerial(folder: string): boolean {
  return existsSync(join(folder, 'device')) && text(folder, 'type') !== '0';
}

function describePort(folder: string, path: string): FoundPort {
  const usb = new Map<string, string>();
  // The port's device, its USB interface and the USB device have some of the attributes each.
  let at = realpathSync(join(folder, 'device'));
  for (let up = 0; up < 4 && !usb.has('idVendor'); up++) {
    for (const name of ['bInterfaceNumber', 'idVendor', 'idProduct', 'serial', 'manufacturer', 'product']) {
      const found = text(at, name);
      if (found !== undefined && !usb.has(name)) usb.set(name, found);
    }
    at = dirname(at);
  }
  if (!usb.has('idVendor')) return { path };
  const number = usb.get('bInterfaceNumber');
  return {
    path,
    ...part('vid', usb.get('idVendor')),
    ...part('pid', usb.get('idProduct')),
    ...part('serial', usb.get('serial')),
    ...part('maker', usb.get('manufacturer')),
    ...part('product', usb.get('product')),
    ...(number === undefined ? {} : { interface: Number.parseInt(number, 16) }),
  };
}

function part(name: string, value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { [name]: value };
}

function text(folder: string, name: string): string | undefined {
  const file = join(folder, name);
  return existsSync(file) ? readFileSync(file, 'latin1').trim() : undefined;
}
