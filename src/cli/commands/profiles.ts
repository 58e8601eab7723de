import { Option } from 'commander';
import { closestMatch } from '../../config/closest-match.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { jsonOption } from '../options.ts';
import { colour, printJson, printLine, table } from '../output.ts';

interface ProfilesOptions {
  /** The user's own folder of profiles. */
  readonly folder?: string;
  readonly json?: boolean;
}

/** Adds `profiles list` and `profiles show`. */
export function addProfiles(cli: CliCommand): void {
  const folder = () =>
    new Option('--folder <path>', "your own profiles, as the configuration's key profiles names them");
  const profiles = cli.command('profiles').description('list and show the device profiles');
  profiles
    .command('list', { isDefault: true })
    .default()
    .description('list the profiles of this version, and your own')
    .addOption(folder())
    .addOption(jsonOption())
    .examples('dcs-io profiles list')
    .action(list);
  profiles
    .command('show')
    .description('list the pins of a profile with their addresses')
    .argument('<profile>')
    .addOption(folder())
    .addOption(jsonOption())
    .examples('dcs-io profiles show eastron/sdm120')
    .action(show);
}

async function list(options: ProfilesOptions): Promise<void> {
  const { allProfiles } = await import('../profile-pins.ts');
  const found = allProfiles(options.folder);
  if (options.json) for (const profile of found) printJson(profile);
  else {
    const rows = found.map(({ name, driver, title }) => [name, driver, title]);
    printLine(table(['PROFILE', 'DRIVER', 'WHAT IT IS'], rows));
  }
}

async function show(name: string, options: ProfilesOptions): Promise<void> {
  const { allProfiles, profilePins } = await import('../profile-pins.ts');
  const found = allProfiles(options.folder);
  const profile = found.find((one) => one.name === name);
  if (profile === undefined) {
    const names = found.map((one) => one.name);
    const near = closestMatch(name, names);
    const hint = near ? `did you mean ${near}?` : 'dcs-io profiles lists them';
    throw new CliError(exitCodes.wrongUse, `there is no profile ${name}`, hint);
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
