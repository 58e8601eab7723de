import { loadConfigText } from '../../config/load.ts';
import { findProfiles, type Profile } from '../../config/profile.ts';
import { closest } from '../../config/suggest.ts';
import { driverNames, driversIn } from '../drivers.ts';
import { CliError, exitCodes } from '../exit.ts';
import { colour, printJson, printLine, table } from '../output.ts';

export interface ProfilesOptions {
  /** The user's own folder of profiles. */
  readonly folder?: string;
  readonly json?: boolean;
}

/** Ports that stand for the hardware when a profile is only looked at. */
const STANDINS: Readonly<Record<string, string>> = { modbus: 'tcp: localhost', i2c: 'bus: 1' };

function profiles(folder: string | undefined): Profile[] {
  return driverNames.flatMap((name) => findProfiles(name, folder));
}

/** Lists the device profiles: those of this version and the user's own. */
export async function list(options: ProfilesOptions): Promise<void> {
  const found = profiles(options.folder);
  if (options.json) for (const profile of found) printJson(profile);
  else
    printLine(
      table(
        ['PROFILE', 'DRIVER', 'WHAT IT IS'],
        found.map(({ name, driver, title }) => [name, driver, title]),
      ),
    );
}

/** Shows the pins of one profile, with the addresses that go on the wire. */
export async function show(name: string, options: ProfilesOptions): Promise<void> {
  const found = profiles(options.folder);
  const profile = found.find((one) => one.name === name);
  if (profile === undefined) {
    const near = closest(
      name,
      found.map((one) => one.name),
    );
    throw new CliError(
      exitCodes.wrongUse,
      `there is no profile ${name}`,
      near ? `did you mean ${near}?` : 'dcs-io profiles lists them',
    );
  }
  const { driver, title, source, file } = profile;
  const standin = STANDINS[driver] ?? '';
  const text = [
    ...(options.folder === undefined ? [] : [`profiles: ${JSON.stringify(options.folder)}`]),
    `ports: { bus: { driver: ${driver}, ${standin} } }`,
    `devices: { device: { port: bus, profile: ${JSON.stringify(name)} } }`,
  ].join('\n');
  const loaded = loadConfigText(text, `${process.cwd()}/profile.yaml`, { drivers: await driversIn(driver) });
  if (!loaded.ok) {
    const [problem] = loaded.problems;
    throw new CliError(exitCodes.failed, `${file} is wrong: ${problem?.key}: ${problem?.message}`);
  }
  const pins = loaded.config.pins.map(({ spec, key }) => ({
    ...spec,
    name: spec.name.replace('device.', ''),
    address: key,
  }));
  if (options.json) {
    printJson({ ...profile, pins });
    return;
  }
  printLine(`${colour.bold(title)}  ${colour.dim(name)}`);
  if (source !== '') printLine(colour.dim(source));
  const rows = pins.map((pin) => [pin.name, pin.kind, pin.direction, pin.address, pin.uom ?? '', pin.class ?? '']);
  printLine(`\n${table(['PIN', 'KIND', 'DIRECTION', 'ADDRESS', 'UNIT', 'CLASS'], rows)}`);
}
