import { jsonSchema } from '../../config/json-schema.ts';
import { allDrivers } from '../../driver-registry.ts';
import { printLine } from '../output.ts';

/** Prints the JSON Schema of the configuration, for editors. */
export async function schema(): Promise<void> {
  printLine(JSON.stringify(jsonSchema(await allDrivers()), null, 2));
}
