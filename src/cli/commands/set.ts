import { InvalidArgumentError, Option } from 'commander';
import type { CliCommand } from '../command-tree.ts';
import type { ClientOptions } from '../options.ts';
import { printJson, printLine, showValue } from '../output.ts';

interface SetOptions extends ClientOptions {
  readonly ttl?: number;
  readonly pulse?: number;
  readonly hold?: number;
  /** Seconds on and off. */
  readonly blink?: readonly [number, number];
}

export function addSet(cli: CliCommand): void {
  cli
    .command('set')
    .description('set a pin and wait for its confirmation')
    .argument('<pin>')
    .argument('<value>', 'on, off, a number or text')
    .addOption(new Option('--pulse <seconds>', 'switch back to the other level after this time').argParser(seconds))
    .addOption(new Option('--hold <seconds>', 'lease: switch to the safe value after this time').argParser(seconds))
    .addOption(
      new Option('--blink <on,off>', 'switch on and off until the next command: seconds on, seconds off').argParser(
        phases,
      ),
    )
    .addOption(new Option('--ttl <seconds>', 'reject the command when it arrives later than this').argParser(seconds))
    .clientOptions()
    .examples(
      'dcs-io set pump on',
      'dcs-io set pump-speed 42.5',
      'dcs-io set bell on --pulse 0.5',
      'dcs-io set valve on --hold 10',
    )
    .action(set);
}

function seconds(text: string): number {
  const found = Number(text);
  if (!(found >= 0) || text.trim() === '') throw new InvalidArgumentError('write seconds, like 5 or 0.5.');
  return found;
}

function phases(text: string): [number, number] {
  const [on, off = on, ...more] = text.split(',').map(Number);
  if (on === undefined || off === undefined || more.length > 0 || !(on > 0) || !(off > 0)) {
    throw new InvalidArgumentError('write seconds on and off, like 0.2,0.8, or 0.5 for both.');
  }
  return [on, off];
}

async function set(pin: string, text: string, options: SetOptions): Promise<void> {
  const { commandPin } = await import('../bus-client.ts');
  const { json, timeout, ttl, pulse, hold, blink } = options;
  const extra = {
    ...(ttl !== undefined && { ttl }),
    ...(pulse !== undefined && { pulse }),
    ...(hold !== undefined && { hold }),
    ...(blink !== undefined && { blink }),
  };
  const report = await commandPin(options, (client) => client.set(pin, text, timeout, extra));
  if (json) printJson(report);
  else printLine(`${report.pin_name}  ${showValue(report.val)}`);
}
