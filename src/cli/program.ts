import type { Command } from 'commander';
import { CliCommand, commandPath, examplesOf, groups, leaves, usage, valuedOption } from './command-tree.ts';
import { CliError, exitCodes } from './exit.ts';
import { busOption, jsonOption } from './options.ts';
import { colour } from './output.ts';
import { version } from './version.ts';

/** Adds a command to the command line. */
type AddCommand = (cli: CliCommand) => void;

/** The files of the commands, in the order of the help. Each imports what its action needs when the action runs. */
const commandFiles: Readonly<Record<string, () => Promise<AddCommand>>> = {
  run: async () => (await import('./commands/run.ts')).addRun,
  check: async () => (await import('./commands/check.ts')).addCheck,
  pins: async () => (await import('./commands/pins.ts')).addPins,
  watch: async () => (await import('./commands/watch.ts')).addWatch,
  status: async () => (await import('./commands/status.ts')).addStatus,
  get: async () => (await import('./commands/get.ts')).addGet,
  set: async () => (await import('./commands/set.ts')).addSet,
  override: async () => (await import('./commands/override.ts')).addOverride,
  rearm: async () => (await import('./commands/override.ts')).addRearm,
  boards: async () => (await import('./commands/boards.ts')).addBoards,
  scan: async () => (await import('./commands/scan.ts')).addScan,
  modbus: async () => (await import('./commands/modbus.ts')).addModbus,
  simulate: async () => (await import('./commands/simulate.ts')).addSimulate,
  profiles: async () => (await import('./commands/profiles.ts')).addProfiles,
  serial: async () => (await import('./commands/serial.ts')).addSerial,
  keys: async () => (await import('./commands/keys.ts')).addKeys,
  web: async () => (await import('./commands/web.ts')).addWeb,
  schema: async () => (await import('./commands/schema.ts')).addSchema,
  init: async () => (await import('./commands/init.ts')).addInit,
  doctor: async () => (await import('./commands/doctor.ts')).addDoctor,
  release: async () => (await import('./commands/release.ts')).addRelease,
  tail: async () => (await import('./commands/tail.ts')).addTail,
  service: async () => (await import('./commands/service.ts')).addService,
  completion: async () => (await import('./commands/completion.ts')).addCompletion,
  complete: async () => (await import('./commands/completion.ts')).addComplete,
  man: async () => (await import('./commands/man.ts')).addMan,
};

/** Commands that read the definitions of all others. */
const needAll: readonly string[] = ['complete', 'man'];

/**
 * The command line. With the words that were typed it has the command they name alone: loading all of them takes longer
 * than most commands. Without words, or when they name no command, it has every command.
 */
export async function program(words: readonly string[] = []): Promise<CliCommand> {
  const cli = new CliCommand('dcs-io')
    .description('Hardware I/O edge agent: GPIO, serial, Modbus and I2C on the aktos-dcs bus')
    .version(version())
    .showHelpAfterError('        dcs-io --help lists the commands')
    .configureOutput({ outputError: (text, write) => write(formatUsageError(text)) })
    .enablePositionalOptions()
    .exitOverride()
    .addOption(busOption())
    .addOption(jsonOption())
    .hook('preAction', applyGlobalOptions);
  const word = firstOperand(cli, words);
  const all = Object.entries(commandFiles);
  const named = all.filter(([name]) => name === word && !needAll.includes(name));
  const files = named.length > 0 ? named : all;
  for (const add of await Promise.all(files.map(([, load]) => load()))) add(cli);
  addHelpTexts(cli);
  return cli;
}

/** The first word that is neither an option of dcs-io itself nor the value of one; '' when there is none. */
function firstOperand(cli: Command, words: readonly string[]): string {
  const at = words.findIndex((word, index) => !word.startsWith('-') && !valuedOption(cli, words[index - 1] ?? ''));
  return words[at] ?? '';
}

/** Adds the examples to every command's help, and the next step to every message about a wrong use. */
function addHelpTexts(cli: Command): void {
  for (const command of leaves(cli)) {
    const lines = examplesOf(command);
    const steps = [`usage: ${usage(command)}`, ...lines.slice(0, 1).map((line) => `for example: ${line}`)];
    command.showHelpAfterError(steps.map(indented).join('\n'));
    if (lines.length > 0) command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
  }
  for (const group of groups(cli)) {
    group.showHelpAfterError(indented(`dcs-io ${commandPath(group)} --help lists its commands`));
  }
  cli.addHelpText('after', '\ndcs-io <command> --help shows its options and examples.');
}

function indented(line: string): string {
  return `        ${line}`;
}

/** Commander's message about a wrong use, in the form of all other errors. */
function formatUsageError(text: string): string {
  return text
    .replace(/^error: /, `${colour.red('dcs-io:')} `)
    .replace(/\n\(Did you mean (.*)\?\)/s, '; did you mean $1?');
}

/** Hands options that stand before the command to the command. Throws when the command does not have one of them. */
function applyGlobalOptions(cli: Command, command: Command): void {
  for (const [name, value] of Object.entries(cli.opts())) {
    if (!command.options.some((option) => option.attributeName() === name)) {
      throw new CliError(exitCodes.wrongUse, `${commandPath(command)} has no option --${name}`);
    }
    if (command.getOptionValueSource(name) !== 'cli') command.setOptionValueWithSource(name, value, 'cli');
  }
}
