import type { Command } from 'commander';

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

/** `get [options] <pin>`, as the first line of its help has it. */
export function usage(command: Command): string {
  return `dcs-io ${commandPath(command)} ${command.usage()}`.replaceAll(/ +/g, ' ').trim();
}
