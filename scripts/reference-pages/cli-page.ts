import type { Command } from 'commander';
import { commandPath, examplesOf, leaves, subcommands, usage } from '../../src/cli/command-tree.ts';
import { exitMeanings } from '../../src/cli/exit.ts';
import { program } from '../../src/cli/program.ts';
import { code, codeBlock, prose, sentence, table } from './markdown.ts';

/** All commands with their options and examples, and the exit codes. */
export async function cliPage(): Promise<string[]> {
  const cli = await program();
  const all = subcommands(cli).flatMap(leaves);
  return [
    '`dcs-io <command> --help` and `man dcs-io` show the same.',
    table(
      ['command', 'description'],
      all.map((one) => [`[${commandPath(one)}](#${anchor(one)})`, prose(one.description())]),
    ),
    '## Exit codes',
    table(
      ['code', 'meaning'],
      exitMeanings.map(([number, means]) => [String(number), means]),
    ),
    '## Options of all commands',
    options(cli),
    ...all.flatMap(section),
  ];
}

function section(command: Command): string[] {
  const examples = examplesOf(command);
  return [
    `## ${commandPath(command)}`,
    sentence(command.description()),
    codeBlock(usage(command)),
    options(command),
    ...(examples.length === 0 ? [] : ['For example:', codeBlock(examples.join('\n'))]),
  ].filter((block) => block !== '');
}

function options(command: Command): string {
  const help = command.createHelp();
  const rows = [
    ...command.registeredArguments
      .filter(({ description }) => description !== '')
      .map((argument) => [code(argument.name()), prose(help.argumentDescription(argument))]),
    ...help.visibleOptions(command).map((option) => [code(option.flags), prose(help.optionDescription(option))]),
  ];
  return table(['option', 'description'], rows);
}

function anchor(command: Command): string {
  return commandPath(command).replaceAll(' ', '-');
}
