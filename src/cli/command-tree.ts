import { Command, type Option } from 'commander';
import { closestMatch } from '../config/closest-match.ts';
import { CliError, exitCodes } from './exit.ts';
import { busOption, configOption, jsonOption, timeoutOption } from './options.ts';

/** A command with examples, which its help, the manual page and the reference show. */
export class CliCommand extends Command {
  lines: readonly string[] = [];

  override createCommand(name?: string): CliCommand {
    return new CliCommand(name);
  }

  examples(...lines: readonly string[]): this {
    this.lines = lines;
    return this;
  }

  /** Adds the options of every command on the bus: `ClientOptions`. */
  clientOptions(): this {
    return this.addOption(configOption('take the address of the bus and the keys from this configuration'))
      .addOption(busOption())
      .addOption(jsonOption())
      .addOption(timeoutOption());
  }

  /** Makes this the command that its group runs when no command is named; words behind the group are a mistake then. */
  default(): this {
    return this.allowExcessArguments().hook('preAction', rejectUnknownCommand);
  }
}

export function examplesOf(command: Command): readonly string[] {
  return command instanceof CliCommand ? command.lines : [];
}

/** The words that call a command, like `scan i2c`; '' for the program itself. */
export function commandPath(command: Command): string {
  const before = command.parent ? commandPath(command.parent) : '';
  return command.parent ? `${before} ${command.name()}`.trim() : '';
}

/** The subcommands that the help lists. */
export function subcommands(command: Command): Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== 'help');
}

/** Every command that does something by itself, in the order of the help. */
export function leaves(command: Command): Command[] {
  const below = subcommands(command);
  return below.length === 0 ? [command] : below.flatMap(leaves);
}

/** Commands that only hold others. */
export function groups(command: Command): Command[] {
  return subcommands(command).flatMap((one) => (subcommands(one).length === 0 ? [] : [one, ...groups(one)]));
}

/**
 * Throws when a word behind a group (`dcs-io boards shwo`) names none of its commands. Commander hands such a word to the
 * group's default command, which takes no words.
 */
function rejectUnknownCommand(command: Command): void {
  const [word] = command.args;
  const group = command.parent;
  if (word === undefined || !group) return;
  const known = subcommands(group).map((one) => one.name());
  const near = closestMatch(word, known);
  const hint = near === undefined ? `there are ${known.join(', ')}` : `did you mean ${near}?`;
  throw new CliError(exitCodes.wrongUse, `${commandPath(group)} has no command ${word}`, hint);
}

/** `dcs-io get [options] <pin>`, as the first line of its help has it. */
export function usage(command: Command): string {
  return `dcs-io ${commandPath(command)} ${command.usage()}`.replaceAll(/ +/g, ' ').trim();
}

/** The option a word of a command line calls, when a value has to follow it as a word of its own. */
export function valuedOption(command: Command, word: string): Option | undefined {
  const option = command.options.find(({ long, short }) => long === word || short === word);
  return option && (option.required || option.optional) ? option : undefined;
}
