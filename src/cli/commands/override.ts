import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import type { ClientOptions } from '../options.ts';

interface OverrideOptions extends ClientOptions {
  /** A duration with its unit, like `10m`. */
  readonly for?: string;
  readonly end?: boolean;
}

export function addOverride(cli: CliCommand): void {
  cli
    .command('override')
    .description('set an output by hand for a time, above every command on the bus; or end that')
    .argument('<pin>')
    .argument('[value]', 'on, off, a number or text')
    .option('--for <duration>', 'how long: 30s, 10m, 2h')
    .option('--end', 'end the override: the output goes to its safe value')
    .clientOptions()
    .examples('dcs-io override pump on --for 10m', 'dcs-io override pump --end')
    .action(override);
}

async function override(pin: string, text: string | undefined, options: OverrideOptions): Promise<void> {
  const { end = false, for: length, timeout } = options;
  if (end ? text !== undefined || length !== undefined : text === undefined || length === undefined) {
    throw new CliError(
      exitCodes.wrongUse,
      'an override needs a value and a time, or --end',
      `dcs-io override ${pin} on --for 10m, or dcs-io override ${pin} --end`,
    );
  }
  const { commandPin } = await import('../bus-client.ts');
  const { printPin } = await import('../pin-list.ts');
  const { parseDuration } = await import('../../driver/kit/schemas.ts');
  const lengthMs = length === undefined ? 0 : parseDuration(length);
  if (lengthMs === undefined || (length !== undefined && lengthMs <= 0)) {
    throw new CliError(exitCodes.wrongUse, `--for ${length} is no time`, 'write it with its unit, like 30s or 10m');
  }
  const seconds = { override: lengthMs / 1000 };
  const report = await commandPin(options, (client) =>
    text === undefined ? client.command(pin, seconds, timeout) : client.set(pin, text, timeout, seconds),
  );
  printPin(report, options);
}

/** Adds `rearm`. */
export function addRearm(cli: CliCommand): void {
  cli
    .command('rearm')
    .description('allow commands again on an output locked in its safe state (rearm: manual)')
    .argument('<pin>')
    .clientOptions()
    .examples('dcs-io rearm pump')
    .action(rearm);
}

async function rearm(pin: string, options: ClientOptions): Promise<void> {
  const { commandPin } = await import('../bus-client.ts');
  const { printPin } = await import('../pin-list.ts');
  printPin(await commandPin(options, (client) => client.command(pin, { rearm: true }, options.timeout)), options);
}
