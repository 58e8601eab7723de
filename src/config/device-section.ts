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
  refuseExpressions(inherited, problems);
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
      inherited: inheritedBy(section ?? base, section && base, inherited),
      device: name,
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

/** Reports and removes keys of computed pins in the defaults of a device or profile: an expression belongs to one pin. */
function refuseExpressions(defaults: Map<string, Located>, problems: Problems): void {
  for (const key of ['expr', 'quality_from']) {
    const written = defaults.get(key);
    if (!written) continue;
    problems.error(written.keyAt, written.path, `${key} is no default of pins`, { expected: `${key} at one pin` });
    defaults.delete(key);
  }
}

/**
 * The keys beneath a pin's own: those of the profile's pin of that name (`base`), then the defaults. A computed pin has no
 * defaults, which are about registers, and nothing of a register whose place it takes.
 */
function inheritedBy(
  section: Located | undefined,
  base: Located | undefined,
  defaults: ReadonlyMap<string, Located>,
): ReadonlyMap<string, Located> {
  const keys = entriesOf(base);
  if (!layered(keys, entriesOf(section)).has('expr')) return layered(defaults, keys);
  return keys.has('expr') ? keys : new Map();
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
