import { profilePins } from '../../src/cli/profile-pins.ts';
import { findProfiles, type Profile } from '../../src/config/profile.ts';
import { driverNames } from '../../src/driver-registry.ts';
import { code, sentence, table } from './markdown.ts';

/** Notes on the addresses in the profiles of a driver. */
const NOTES: Readonly<Record<string, string>> = {
  i2c: 'The addresses below show 0x20 as the chip’s `address`. Write the address that the chip is wired for.',
  modbus:
    'Addresses are `unit/table/address` as on the wire, counted from 0. `unit: 3` at the device sets its unit id.',
  serial: 'The address of a serial pin is the text that it matches.',
};

/** All device profiles with their pins. */
export async function profilesPage(): Promise<string[]> {
  const chapters = await Promise.all(
    driverNames.map(async (driver) => {
      const profiles = findProfiles(driver, undefined);
      if (profiles.length === 0) return [];
      return [`## ${driver}`, NOTES[driver] ?? '', ...(await Promise.all(profiles.map(profileSection))).flat()];
    }),
  );
  return [
    'A profile gives a device its pins: `devices: { meter: { port: rs485, unit: 1, profile: eastron/sdm120 } }` makes the pins `meter.voltage`, `meter.power` and so on. `dcs-io profiles show eastron/sdm120` prints one profile.',
    ...chapters.flat(),
  ];
}

async function profileSection(profile: Profile): Promise<string[]> {
  const pins = await profilePins(profile);
  const rows = pins.map(({ spec, key }) => [
    code(spec.name),
    spec.kind,
    spec.direction,
    code(key),
    spec.uom ?? '',
    spec.range?.join(' to ') ?? '',
  ]);
  return [
    `### ${profile.name}`,
    [profile.title, ...(profile.source === '' ? [] : [`source: ${profile.source}`])].map(sentence).join(' '),
    ...(profile.port === undefined ? [] : [`The port needs ${code(profile.port)}.`]),
    table(['pin', 'kind', 'direction', 'address', 'unit', 'range'], rows),
  ];
}
