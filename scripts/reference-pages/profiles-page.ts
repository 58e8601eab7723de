import { profilePins } from '../../src/cli/profile-pins.ts';
import { findProfiles, type Profile } from '../../src/config/profile.ts';
import { driverNames } from '../../src/driver-registry.ts';
import { code, sentence, table } from './markdown.ts';

/** Where a device's own address stands, for drivers whose address key depends on the chip's wiring. */
const NOTES: Readonly<Record<string, string>> = {
  i2c: 'The chip’s `address` is in the addresses below as 0x20; write the one it is wired for.',
  modbus:
    'Addresses are `unit/table/address` as they go on the wire, counted from 0; `unit: 3` at the device says which unit it is.',
  serial: 'What is matched stands where other drivers have an address.',
};

/** Every device profile with its pins. */
export async function profilesPage(): Promise<string[]> {
  const chapters = await Promise.all(
    driverNames.map(async (driver) => {
      const profiles = findProfiles(driver, undefined);
      if (profiles.length === 0) return [];
      return [`## ${driver}`, NOTES[driver] ?? '', ...(await Promise.all(profiles.map(profileSection))).flat()];
    }),
  );
  return [
    'A device on a port gets its pins from a profile: `devices: { meter: { port: rs485, unit: 1, profile: eastron/sdm120 } }` gives `meter.voltage`, `meter.power` and so on. The same on a machine: `dcs-io profiles show eastron/sdm120`.',
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
    ...(profile.port === undefined ? [] : [`Its port needs ${code(profile.port)}`]),
    table(['pin', 'kind', 'direction', 'address', 'unit', 'range'], rows),
  ];
}
