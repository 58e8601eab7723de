import type { Command } from 'commander';
import { addExamples } from '../command-tree.ts';
import { addClientOptions, type ClientOptions } from '../options.ts';

/** Adds `rearm`. */
export function addRearm(cli: Command): void {
  const command = cli
    .command('rearm')
    .description('allow commands again on an output locked in its safe state (rearm: manual)')
    .argument('<pin>')
    .action(rearm);
  addClientOptions(command);
  addExamples(command, 'dcs-io rearm pump');
}

async function rearm(pin: string, options: ClientOptions): Promise<void> {
  const [{ withClient }, { printPin }] = await Promise.all([import('../bus-client.ts'), import('../pin-list.ts')]);
  printPin(await withClient(options, (client) => client.command(pin, { rearm: true }, options.timeout)), options);
}
