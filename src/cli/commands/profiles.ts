import { closestMatch } from '../../config/closest-match.ts';
import { findProfiles, type Profile } from '../../config/profile.ts';
import { driverNames } from '../../driver-registry.ts';
import { CliError, exitCodes } from '../exit.ts';
import { colour, printJson, printLine, table } from '../output.ts';
import { profilePins } from '../profile-pins.ts';

export interface ProfilesOptions {
  /** The user's own folder of profiles. */
  readonly folder?: string;
  readonly json?: boolean;
}

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
    const near = closestMatch(
      name,
      found.map((one) => one.name),
    );
    throw new CliError(
      exitCodes.wrongUse,
      `there is no profile ${name}`,
      near ? `did you mean ${near}?` : 'dcs-io profiles lists them',
    );
  }
  const { title, source, port } = profile;
  const pins = (await profilePins(profile, options.folder)).map(({ spec, key }) => ({ ...spec, address: key }));
  if (options.json) {
    printJson({ ...profile, pins });
    return;
  }
  printLine(`${colour.bold(title)}  ${colour.dim(name)}`);
  if (source !== '') printLine(colour.dim(source));
  if (port !== undefined) printLine(`\nits port needs ${port}`);
  const rows = pins.map((pin) => [pin.name, pin.kind, pin.direction, pin.address, pin.uom ?? '', pin.class ?? '']);
  printLine(`\n${table(['PIN', 'KIND', 'DIRECTION', 'ADDRESS', 'UNIT', 'CLASS'], rows)}`);
}
