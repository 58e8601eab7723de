import type { Command, Option } from 'commander';
import { type CliCommand, examplesOf, leaves, subcommands, usage } from '../command-tree.ts';
import { exitMeanings } from '../exit.ts';
import { printLine } from '../output.ts';
import { version } from '../version.ts';

/** Adds the hidden `man`, which prints the manual page from the definitions of all commands. */
export function addMan(cli: CliCommand): void {
  cli.command('man', { hidden: true }).action(() => printLine(manPage(cli)));
}

/** The page in the macros of man(7). */
function manPage(cli: CliCommand): string {
  return [
    `.TH DCS-IO 1 "" "dcs-io ${version()}" "User Commands"`,
    '.SH NAME',
    `dcs-io \\- ${text(cli.description())}`,
    '.SH SYNOPSIS',
    '.B dcs-io',
    '[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]',
    '.SH DESCRIPTION',
    'dcs-io run reads one configuration file, opens the hardware named there and gives every pin a name on the actor bus. The',
    'other commands talk with a running agent over that bus, or help to set one up.',
    '.SH OPTIONS',
    ...options(cli),
    '.SH COMMANDS',
    ...subcommands(cli).flatMap(leaves).flatMap(section),
    '.SH EXIT STATUS',
    ...exitMeanings.flatMap(([code, means]) => ['.TP', String(code), means]),
    '.SH ENVIRONMENT',
    '.TP',
    'DCS_IO_BUS',
    text('address of the bus, HOST:RX:TX, for commands without --bus and -c'),
    '.TP',
    'NO_COLOR',
    'no colours',
    '.SH FILES',
    '.TP',
    '\\&./dcs\\-io.yaml, /etc/dcs\\-io/dcs\\-io.yaml',
    'the configuration, unless \\-c names another',
    '.TP',
    '/var/lib/dcs\\-io',
    'state that outlives a restart',
    '.SH SEE ALSO',
    'https://github.com/aktos\\-io/aktos\\-dcs',
  ].join('\n');
}

function section(command: Command): string[] {
  const lines = examplesOf(command);
  return [
    `.SS ${text(usage(command))}`,
    text(sentence(command.description())),
    ...options(command),
    ...(lines.length === 0
      ? []
      : ['.PP', 'Examples:', '.PP', '.nf', ...lines.map((line) => `    ${text(line)}`), '.fi']),
  ];
}

function options(command: Command): string[] {
  const help = command.createHelp();
  const args = command.registeredArguments.filter(({ description }) => description !== '');
  return [
    ...args.flatMap((argument) => ['.TP', `.I ${text(argument.name())}`, text(help.argumentDescription(argument))]),
    ...command.options
      .filter((option: Option) => !option.hidden)
      .flatMap((option) => ['.TP', `.B ${text(option.flags)}`, text(help.optionDescription(option))]),
  ];
}

function sentence(plain: string): string {
  return `${plain.slice(0, 1).toUpperCase()}${plain.slice(1)}.`;
}

/** Escapes text so that nothing in it is a request to the formatter and dashes can be copied into a shell. */
function text(plain: string): string {
  return plain
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1')
    .replaceAll('…', '\\[u2026]')
    .replaceAll("'", '\\(aq');
}
