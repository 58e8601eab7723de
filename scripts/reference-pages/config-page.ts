import { z } from 'zod';
import { inputSchema, isSchema, type JsonSchema, jsonSchema } from '../../src/config/json-schema.ts';
import { deviceKeys, pinSchema } from '../../src/config/schema.ts';
import type { Driver } from '../../src/driver/contract.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { code, prose, sentence, table } from './markdown.ts';
import { keyHead, keyRows } from './schema-rows.ts';

/** Sections that are one value or object. The others map names of the user, and each has a chapter. */
const PLAIN = ['node', 'board', 'hats', 'bus', 'drivers', 'web', 'actors', 'profiles', 'state', 'guardian'] as const;

/** All keys of a configuration. */
export async function configPage(): Promise<string[]> {
  const drivers = await allDrivers();
  const schema = jsonSchema(drivers);
  return [
    'All keys of `dcs-io.yaml`. `dcs-io check` reports the mistakes of a file. `dcs-io schema` prints the same keys as a JSON Schema for editors.',
    'A *duration* has a unit: `500us`, `20ms`, `1s`, `10m`, `1h`. *Line settings* are baud, data bits, parity and stop bits: `9600-8N1`. *Text with escapes* knows `\\r`, `\\n`, `\\t`, `\\0` and `\\xNN`. `security.keys` is the key `keys` in the section `security`. You choose `NAME` and `NUMBER`.',
    '## The file',
    keys(schema),
    ...PLAIN.flatMap((name) => section(schema, name)),
    '## Ports',
    `\`ports: { NAME: { driver: …, … } }\`. Pins and devices name their port: \`port: NAME\`. ${placed(drivers)}`,
    table(
      ['driver', 'hardware'],
      drivers.map(({ name, summary }) => [`[${name}](#driver-${name})`, prose(summary)]),
    ),
    '## Pins',
    '`pins: { NAME: { … } }`. These are the keys of every pin. The keys for its place on the port are in the chapter of its driver.',
    keys(inputSchema(pinSchema)),
    '## Devices',
    '`devices: { NAME: { port: …, profile: …, … } }` makes the pins `NAME.PIN` of its [profile](profiles.md) and of its own `pins`. Any key of a pin on that port may be a key of the device: all its pins inherit it. A key without a value in a pin (`order:`) undoes it there.',
    keys(inputSchema(z.strictObject({ ...deviceKeys }))),
    ...drivers.flatMap(driverSection),
    '## Servers',
    '`servers: { NAME: { driver: …, … } }` shows pins to other systems.',
    ...drivers.flatMap(({ name, server }) => (server ? [`### Server ${name}`, keys(inputSchema(server.options))] : [])),
  ];
}

/** Says which pins need no port. */
function placed(drivers: readonly Driver[]): string {
  const keys = drivers.flatMap(({ placer }) => (placer?.keys.length === 1 ? placer.keys.map(code) : []));
  return `Pins with ${keys.join(' or ')} need no port.`;
}

function driverSection({ name, summary, options, pin }: Driver): string[] {
  const port = keyRows(inputSchema(options));
  return [
    `## Driver ${name}`,
    sentence(summary),
    port.length === 0 ? 'Its pins need no entry in `ports`.' : `Its port (${code(`driver: ${name}`)}):`,
    ...(port.length === 0 ? [] : [table(keyHead, port)]),
    'Its pins:',
    keys(inputSchema(pin)),
  ];
}

/** A section with keys of its own. Sections that are one value are in the first table. */
function section(schema: JsonSchema, name: string): string[] {
  const all = schema['properties'];
  const found = isSchema(all) ? all[name] : undefined;
  const rows = isSchema(found) ? keyRows(found, `${name}.`) : [];
  return rows.length === 0 ? [] : [`## Section ${name}`, table(keyHead, rows)];
}

/** The keys of an object. For the whole file: without the keys of its sections. */
function keys(schema: JsonSchema): string {
  const rows = keyRows(schema);
  return table(
    keyHead,
    schema['title'] === 'dcs-io configuration' ? rows.filter(([key = '']) => !key.includes('.')) : rows,
  );
}
