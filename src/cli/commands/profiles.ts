import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Option } from 'commander';
import { closestMatch } from '../../config/closest-match.ts';
import { messageOf, systemCode } from '../../errors/errors.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { jsonOption } from '../options.ts';
import { colour, count, printJson, printLine, printNote, table } from '../output.ts';
import type { Table } from '../register-table/cells.ts';

interface ProfilesOptions {
  /** The user's own folder of profiles. */
  readonly folder?: string;
  readonly json?: boolean;
}

interface NewOptions {
  readonly folder: string;
  readonly table?: Table;
  readonly base?: '0' | '1';
}

/** Adds `profiles list`, `profiles show` and `profiles new`. */
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
  profiles
    .command('new')
    .description('start a Modbus profile from a register table, a CSV file; says what it could not read')
    .argument('<table>', 'the file, or - for the standard input; its columns are found by their header')
    .argument('[profile]', '<maker>/<model>: write it to the folder; default: print it')
    .addOption(new Option('--folder <path>', 'folder of your own profiles').default('./profiles'))
    .addOption(
      new Option('--table <table>', 'the table of the registers, when the file does not tell it').choices([
        'holding',
        'input',
        'coil',
        'discrete',
      ]),
    )
    .addOption(new Option('--base <number>', 'what the file calls the first register').choices(['0', '1']))
    .examples('dcs-io profiles new registers.csv', 'dcs-io profiles new registers.csv acme/meter --base 1')
    .action(create);
}

async function create(file: string, name: string | undefined, { folder, table, base }: NewOptions): Promise<void> {
  if (name !== undefined && !/^[a-z0-9][a-z0-9._-]*\/[a-z0-9][a-z0-9._-]*$/.test(name)) {
    throw new CliError(exitCodes.wrongUse, `${name} is no name of a profile`, 'a maker and a model: acme/meter-3');
  }
  const { newProfile } = await import('../register-table/new-profile.ts');
  const options = { ...(table && { table }), ...(base && { base: base === '1' ? (1 as const) : (0 as const) }) };
  const { text, pins, notes } = await newProfile(readTable(file), file === '-' ? 'a table' : basename(file), options);
  for (const note of notes) printNote(note);
  if (name === undefined) printLine(text.trimEnd());
  else printNote(`written: ${writeProfile(join(folder, 'modbus', `${name}.yaml`), text)}`);
  printNote(
    `${count(pins, 'pin')}; ${notes.length === 0 ? 'everything was read' : `${count(notes.length, 'note')} above`}`,
  );
}

function readTable(file: string): Uint8Array {
  try {
    return readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    throw new CliError(exitCodes.wrongUse, `${file} cannot be read: ${messageOf(error)}`);
  }
}

/** Writes a new file. Never replaces one: somebody may have worked on it. */
function writeProfile(file: string, text: string): string {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { flag: 'wx' });
  } catch (error) {
    const hint = systemCode(error) === 'EEXIST' ? 'another name, or remove that file first' : undefined;
    throw new CliError(exitCodes.failed, `${file} cannot be written: ${messageOf(error)}`, hint);
  }
  return file;
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
