import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../driver/kit/schemas.ts';

/** The options every command on the bus has. */
export interface BusOptions {
  readonly bus: Option;
  readonly json: Option;
  readonly timeout: Option;
}

/** Adds the commands with which a person takes charge of an output. */
export function addOutputCommands(cli: Command, { bus, json, timeout }: BusOptions): void {
  cli
    .command('override')
    .description('set an output by hand for a time, whatever the bus says; or end that')
    .argument('<pin>')
    .argument('[value]', 'on, off, a number or text')
    .addOption(new Option('--for <duration>', 'how long: 30s, 10m, 2h').argParser(duration))
    .option('--end', 'end the override: the output goes to its safe value')
    .addOption(bus)
    .addOption(json)
    .addOption(timeout)
    .action(async (pin, value, options) => (await import('./commands/override.ts')).override(pin, value, options));
  cli
    .command('rearm')
    .description('let an output be commanded again that is kept safe after a loss (rearm: manual)')
    .argument('<pin>')
    .addOption(bus)
    .addOption(json)
    .addOption(timeout)
    .action(async (pin, options) => (await import('./commands/override.ts')).rearm(pin, options));
}

function duration(text: string): number {
  const found = parseDuration(text);
  if (found === undefined || found <= 0) throw new InvalidArgumentError('write a time with its unit, like 30s or 10m.');
  return found;
}
