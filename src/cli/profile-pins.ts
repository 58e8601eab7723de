import { loadConfigText } from '../config/load.ts';
import { findProfiles, type Profile } from '../config/profile.ts';
import type { ResolvedPin } from '../config/resolved.ts';
import { driverNames, driversIn } from '../driver-registry.ts';
import { DcsError } from '../errors/errors.ts';

/** Keys of a port and of a device with which the pins of a profile can be listed, without hardware. */
const PLACEHOLDERS: Readonly<Record<string, readonly [port: string, device: string]>> = {
  modbus: ['tcp: localhost', ''],
  i2c: ['bus: 1', 'address: 0x20'],
  serial: ['path: /dev/ttyUSB0', ''],
};

/** The profiles of every driver: those of this version and of the user's folder. */
export function allProfiles(folder: string | undefined): Profile[] {
  return driverNames.flatMap((name) => findProfiles(name, folder));
}

/** The pins of a device with this profile, by their own names. Rejects with BAD_CONFIG when the profile is wrong. */
export async function profilePins({ driver, name, file }: Profile, folder?: string): Promise<ResolvedPin[]> {
  const [port = '', device = ''] = PLACEHOLDERS[driver] ?? [];
  const text = [
    ...(folder === undefined ? [] : [`profiles: ${JSON.stringify(folder)}`]),
    `ports: { bus: { driver: ${driver}, ${port} } }`,
    `devices: { device: { port: bus, profile: ${JSON.stringify(name)}, ${device} } }`,
  ].join('\n');
  const loaded = loadConfigText(text, `${process.cwd()}/profile.yaml`, { drivers: await driversIn(driver) });
  if (!loaded.ok) {
    const [problem] = loaded.problems;
    throw new DcsError('BAD_CONFIG', `${file} is wrong: ${problem?.key}: ${problem?.message}`);
  }
  return loaded.config.pins.map((pin) => ({
    ...pin,
    key: pin.key.replace(/^device\./, ''),
    spec: { ...pin.spec, name: pin.spec.name.replace('device.', '') },
  }));
}
