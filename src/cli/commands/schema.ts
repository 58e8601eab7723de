import type { Command } from 'commander';
import { addExamples } from '../command-tree.ts';
import { configOption } from '../options.ts';
import { printLine } from '../output.ts';

/** Adds `schema`. */
export function addSchema(cli: Command): void {
  const command = cli
    .command('schema')
    .description('print the JSON Schema of the configuration, for editors')
    .addOption(configOption('include the drivers that this configuration loads'))
    .action(schema);
  addExamples(command, 'dcs-io schema > dcs-io.schema.json', 'dcs-io schema -c plant.yaml > plant.schema.json');
}

async function schema({ config }: { readonly config?: string }): Promise<void> {
  const [{ jsonSchema }, { driversFor }, { configFile }] = await Promise.all([
    import('../../config/json-schema.ts'),
    import('../../driver-registry.ts'),
    import('../config-file.ts'),
  ]);
  const drivers = await driversFor(config === undefined ? undefined : configFile(config));
  printLine(JSON.stringify(jsonSchema(drivers), null, 2));
}
