import type { Command } from 'commander';
import { addExamples } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { addClientOptions, type ClientOptions } from '../options.ts';
import { printJson, printLine, showValue } from '../output.ts';

/** Adds `get`. */
export function addGet(cli: Command): void {
  const command = cli
    .command('get')
    .description('print the value of a pin; fails when its quality is bad')
    .argument('<pin>')
    .action(get);
  addClientOptions(command);
  addExamples(command, 'dcs-io get tank-level', 'dcs-io get tank-level --json');
}

/** Prints a bad value too, but fails then, so that a script does not use it. */
async function get(pin: string, options: ClientOptions): Promise<void> {
  const { withClient } = await import('../bus-client.ts');
  const report = await withClient(options, (client) => client.get(pin, options.timeout));
  if (options.json) printJson(report);
  else printLine(`${report.pin_name}  ${showValue(report.val)}`);
  if (report['quality'] === 'bad') {
    throw new CliError(exitCodes.failed, `${pin} is bad: ${report['reason'] ?? 'no reason given'}`);
  }
}
