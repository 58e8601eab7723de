import type { CliCommand } from '../command-tree.ts';
import { configOption } from '../options.ts';
import { printLine } from '../output.ts';

export function addSchema(cli: CliCommand): void {
  cli
    .command('schema')
    .description('print the JSON Schema of the configuration, for editors')
    .addOption(configOption('include the drivers that this configuration loads'))
    .examples('dcs-io schema > dcs-io.schema.json', 'dcs-io schema -c plant.yaml > plant.schema.json')
    .action(schema);
}

async function schema({ config }: { readonly config?: string }): Promise<void> {
  const { jsonSchema } = await import('../../config/json-schema.ts');
  const { driversFor } = await import('../../driver-registry.ts');
  const { configFile } = await import('../config-file.ts');
  const drivers = await driversFor(config === undefined ? undefined : configFile(config));
  printLine(JSON.stringify(jsonSchema(drivers), null, 2));
}
