import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../../driver/kit/schemas.ts';
import { addExamples } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { addClientOptions, type ClientOptions } from '../options.ts';

interface OverrideOptions extends ClientOptions {
  /** Milliseconds. */
  readonly for?: number;
  readonly end?: boolean;
}

/** Adds `override`. */
export function addOverride(cli: Command): void {
  const command = cli
    .command('override')
    .description('set an output by hand for a time, above every command on the bus; or end that')
    .argument('<pin>')
    .argument('[value]', 'on, off, a number or text')
    .addOption(new Option('--for <duration>', 'how long: 30s, 10m, 2h').argParser(duration))
    .option('--end', 'end the override: the output goes to its safe value')
    .action(override);
  addClientOptions(command);
  addExamples(command, 'dcs-io override pump on --for 10m', 'dcs-io override pump --end');
}

function duration(text: string): number {
  const found = parseDuration(text);
  if (found === undefined || found <= 0) throw new InvalidArgumentError('write a time with its unit, like 30s or 10m.');
  return found;
}

async function override(pin: string, text: string | undefined, options: OverrideOptions): Promise<void> {
  const { end = false, for: lengthMs, timeout } = options;
  if (end ? text !== undefined || lengthMs !== undefined : text === undefined || lengthMs === undefined) {
    throw new CliError(
      exitCodes.wrongUse,
      'an override needs a value and a time, or --end',
      `dcs-io override ${pin} on --for 10m, or dcs-io override ${pin} --end`,
    );
  }
  const [{ withClient }, { printPin }] = await Promise.all([import('../bus-client.ts'), import('../pin-list.ts')]);
  const seconds = { override: (lengthMs ?? 0) / 1000 };
  const report = await withClient(options, (client) =>
    text === undefined ? client.command(pin, seconds, timeout) : client.set(pin, text, timeout, seconds),
  );
  printPin(report, options);
}
