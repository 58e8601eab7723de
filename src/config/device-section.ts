import { z } from 'zod';
import { dataFolder } from '../board/load-board.ts';
import type { ConfigContext } from './context.ts';
import { keysAt } from './json-schema.ts';
import { entriesOf, type Located, lastKey, layered, textOf, withEntries } from './located.ts';
import type { PinDraft } from './pin-section.ts';
import type { Ports } from './port-sections.ts';
import type { Problems } from './problems.ts';
import { profileFiles, readEntries } from './profile.ts';
import { deviceKeys, pinKeys } from './schema.ts';
import { checkName, reportUnknownKey, reportUnknownName, sectionEntries, validate } from './validation.ts';

const DEVICE_KEYS = [...Object.keys(deviceKeys), 'pins'];
const structureSchema = z.strictObject(deviceKeys);

/** Reads `devices:` into their pins, named `<device>.<pin>`. */
export function readDevices(
  located: Located | undefined,
  ports: Ports,
  context: ConfigContext,
  problems: Problems,
): PinDraft[] {
  return [...sectionEntries(located, problems)].flatMap(([name, device]) =>
    readDevice(name, device, ports, context, problems),
  );
}

function readDevice(
  name: string,
  device: Located,
  ports: Ports,
  context: ConfigContext,
  problems: Problems,
): PinDraft[] {
  if (device.node.kind !== 'section') {
    problems.invalid(device, `device ${name} must be a section of keys`, { expected: '{ port: …, profile: … }' });
    return [];
  }
  const { entries } = device.node;
  const structure = new Map([...entries].filter(([key]) => Object.hasOwn(deviceKeys, key)));
  validate(structureSchema, withEntries(device, structure), problems);
  checkName(name, device, problems);
  const named = entries.get('port');
  const known = [...ports.keys()];
  if (named && !known.some((port) => port === textOf(named))) reportUnknownName(named, 'port', known, problems);
  const port = ports.get(textOf(named) ?? '');
  const defaults = new Map([...entries].filter(([key]) => !DEVICE_KEYS.includes(key)));
  if (port && !port.standIn) reportUnknownKeys(device, defaults, keysAt(port.driver.pin), problems);
  // The port's driver decides which keys the pins have.
  if (named === undefined || port === undefined) return [];
  const profile = readProfile(entries.get('profile'), port.driver.name, context, problems);
  const inherited = new Map([...layered(entriesOf(profile?.get('defaults')), defaults), ['port', named]]);
  const ofProfile = entriesOf(profile?.get('pins'));
  const own = sectionEntries(entries.get('pins'), problems);
  const pins = new Set([...ofProfile.keys(), ...own.keys()]);
  if (pins.size === 0 && profile !== undefined) {
    problems.warning(device.keyAt, device.path, `device ${name} has no pins`, { expected: 'a profile, or pins' });
  }
  return [...pins].map((pin) => {
    const section = own.get(pin);
    const base = ofProfile.get(pin);
    // An error about a pin of a profile points at the device, which can complete it.
    const atDevice = base && { ...base, at: device.at, keyAt: device.keyAt, path: device.path };
    return {
      name: `${name}.${pin}`,
      located: section ?? atDevice ?? device,
      // Keys of the device win over keys of the profile.
      inherited: section && base ? layered(inherited, entriesOf(base)) : inherited,
    };
  });
}

/** The parts of the profile that a device names: empty when it names none, `undefined` when there is no such profile. */
function readProfile(
  named: Located | undefined,
  driver: string,
  context: ConfigContext,
  problems: Problems,
): ReadonlyMap<string, Located> | undefined {
  if (named === undefined) return new Map();
  const files = profileFiles(driver, context.profileFolder, context.dataFolder ?? dataFolder());
  const name = named.node.kind === 'scalar' ? String(named.node.value) : '';
  const file = files.get(name);
  if (file === undefined) {
    reportUnknownName(named, `profile of ${driver} devices`, [...files.keys()], problems);
    return undefined;
  }
  return readEntries(file, problems);
}

/** Reports keys of a device that none of its pins can have. */
function reportUnknownKeys(
  device: Located,
  defaults: ReadonlyMap<string, Located>,
  driverKeys: readonly string[],
  problems: Problems,
): void {
  const known = [...DEVICE_KEYS, ...Object.keys(pinKeys), ...driverKeys];
  for (const entry of defaults.values()) {
    const key = lastKey(entry);
    if (!known.includes(key)) reportUnknownKey(device, key, problems, known);
  }
}
