import type { Command } from 'commander';
import { addExamples } from '../command-tree.ts';
import { printLine } from '../output.ts';

/** Adds `schema`. */
export function addSchema(cli: Command): void {
  const command = cli
    .command('schema')
    .description('print the JSON Schema of the configuration, for editors')
    .action(schema);
  addExamples(command, 'dcs-io schema > dcs-io.schema.json');
}

async function schema(): Promise<void> {
  const [{ jsonSchema }, { allDrivers }] = await Promise.all([
    import('../../config/json-schema.ts'),
    import('../../driver-registry.ts'),
  ]);
  printLine(JSON.stringify(jsonSchema(await allDrivers()), null, 2));
}
