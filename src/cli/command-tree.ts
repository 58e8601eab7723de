import type { Command } from 'commander';
import { closestMatch } from '../config/closest-match.ts';
import { CliError, exitCodes } from './exit.ts';

/** `scan i2c`: the words that call a command; '' for the program itself. */
export function commandPath(command: Command): string {
  const before = command.parent ? commandPath(command.parent) : '';
  return command.parent ? `${before} ${command.name()}`.trim() : '';
}

/** The subcommands that people are told of. */
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
 * A word behind a group (`dcs-io boards`) that is none of its commands comes to its default one, which takes none. Throws then,
 * in the words of the person who typed it.
 */
export function rejectUnknownCommand(command: Command): void {
  const [word] = command.args;
  const group = command.parent;
  if (word === undefined || !group) return;
  const known = subcommands(group).map((one) => one.name());
  const near = closestMatch(word, known);
  const hint = near === undefined ? `there are ${known.join(', ')}` : `did you mean ${near}?`;
  throw new CliError(exitCodes.wrongUse, `${commandPath(group)} has no command ${word}`, hint);
}

/** `get [options] <pin>`, as the first line of its help has it. */
export function usage(command: Command): string {
  return `dcs-io ${commandPath(command)} ${command.usage()}`.replaceAll(/ +/g, ' ').trim();
}
