import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import type { ClientOptions } from '../options.ts';
import { printJson, printLine, showValue } from '../output.ts';

export function addGet(cli: CliCommand): void {
  cli
    .command('get')
    .description('print the value of a pin; fails when its quality is bad')
    .argument('<pin>')
    .clientOptions()
    .examples('dcs-io get tank-level', 'dcs-io get tank-level --json')
    .action(get);
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
