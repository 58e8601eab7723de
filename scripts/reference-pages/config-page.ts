import { z } from 'zod';
import { inputSchema, isSchema, type JsonSchema, jsonSchema } from '../../src/config/json-schema.ts';
import { deviceKeys, pinSchema } from '../../src/config/schema.ts';
import type { Driver } from '../../src/driver/contract.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { code, prose, sentence, table } from './markdown.ts';
import { keyHead, keyRows } from './schema-rows.ts';

/** Sections that are one value or object; the others are maps of the user's names, and have a chapter each. */
const PLAIN = ['node', 'board', 'hats', 'bus', 'web', 'actors', 'profiles', 'state', 'guardian'] as const;

/** Every key of a configuration. */
export async function configPage(): Promise<string[]> {
  const drivers = await allDrivers();
  const schema = jsonSchema(drivers);
  return [
    'All keys of `dcs-io.yaml`. `dcs-io check` says what is wrong in one; `dcs-io schema` prints the same as a JSON Schema for editors.',
    'A *duration* has its unit: `500us`, `20ms`, `1s`, `10m`, `1h`. *Line settings* are baud, data bits, parity and stop bits: `9600-8N1`. *Text with escapes* knows `\\r`, `\\n`, `\\t`, `\\0` and `\\xNN`. `security.keys` is the key `keys` in the section `security`; `NAME` and `NUMBER` are of your choice.',
    '## The file',
    keys(schema),
    ...PLAIN.flatMap((name) => section(schema, name)),
    '## Ports',
    `\`ports: { NAME: { driver: …, … } }\`. Pins and devices say by \`port: NAME\` that they are on it. ${placed(drivers)}`,
    table(
      ['driver', 'for'],
      drivers.map(({ name, summary }) => [`[${name}](#driver-${name})`, prose(summary)]),
    ),
    '## Pins',
    '`pins: { NAME: { … } }`. The keys of every pin; those that say where on its port it is are with its driver.',
    keys(inputSchema(pinSchema)),
    '## Devices',
    '`devices: { NAME: { port: …, profile: …, … } }` makes the pins `NAME.PIN` of its [profile](profiles.md) and of its own `pins`. Any key of a pin on that port may stand here, for all of them.',
    keys(inputSchema(z.strictObject({ ...deviceKeys }))),
    ...drivers.flatMap(driverSection),
    '## Servers',
    '`servers: { NAME: { driver: …, … } }` shows pins to other systems.',
    ...drivers.flatMap(({ name, server }) => (server ? [`### Server ${name}`, keys(inputSchema(server.options))] : [])),
  ];
}

/** The pins that need no port. */
function placed(drivers: readonly Driver[]): string {
  const keys = drivers.flatMap(({ placer }) => (placer?.keys.length === 1 ? placer.keys.map(code) : []));
  return `Pins with ${keys.join(' or ')} need none.`;
}

function driverSection({ name, summary, options, pin }: Driver): string[] {
  const port = keyRows(inputSchema(options));
  return [
    `## Driver ${name}`,
    sentence(summary),
    port.length === 0 ? 'It needs no entry in `ports`.' : `Its port (${code(`driver: ${name}`)}):`,
    ...(port.length === 0 ? [] : [table(keyHead, port)]),
    'Its pins:',
    keys(inputSchema(pin)),
  ];
}

/** A section that has keys of its own; what is one value is in the first table. */
function section(schema: JsonSchema, name: string): string[] {
  const all = schema['properties'];
  const found = isSchema(all) ? all[name] : undefined;
  const rows = isSchema(found) ? keyRows(found, `${name}.`) : [];
  return rows.length === 0 ? [] : [`## Section ${name}`, table(keyHead, rows)];
}

/** The keys of an object; at the top of the file without those of its sections. */
function keys(schema: JsonSchema): string {
  const rows = keyRows(schema);
  return table(
    keyHead,
    schema['title'] === 'dcs-io configuration' ? rows.filter(([key = '']) => !key.includes('.')) : rows,
  );
}
