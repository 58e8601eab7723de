import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { byteOrders } from '../../../src/driver/kit/number-codec.ts';
import { lineSchema } from '../../../src/driver/kit/schemas.ts';
import { usbSchema } from '../../../src/driver/kit/serial-ports.ts';
import { unitSchema } from '../address.ts';
import { DEFAULT_LINE, MODBUS_PORT, targetSchema } from '../options.ts';
import { valueTypes } from '../register-format.ts';

const entrySchema = z
  .union([
    z
      .string()
      .min(1)
      .transform((pin) => ({ pin, scale: 1, offset: 0 })),
    z.strictObject({
      pin: z.string().min(1).describe('the name of the pin'),
      type: z
        .enum(valueTypes)
        .optional()
        .describe('default: uint16 for digital pins, uint32 for counters, else float32'),
      order: z.enum(byteOrders).optional().describe('order of the bytes, A being the highest; default ABCD'),
      length: z.int().min(1).max(246).optional().describe('string: number of characters'),
      scale: z
        .number()
        .refine((scale) => scale !== 0)
        .default(1)
        .describe('value of the pin = register × scale + offset'),
      offset: z.number().default(0).describe('value of the pin = register × scale + offset'),
    }),
  ])
  .describe('a pin, or { pin, type, order, scale, offset }');
export type EntryKeys = z.output<typeof entrySchema> & {
  readonly type?: (typeof valueTypes)[number] | undefined;
  readonly order?: (typeof byteOrders)[number] | undefined;
  readonly length?: number | undefined;
};

const addressed = <T>(value: z.ZodType<T>) =>
  z
    .record(
      z.string().regex(/^(0x[0-9a-fA-F]{1,4}|\d{1,5})$/, { error: 'addresses are counted from 0 to 65535' }),
      value,
    )
    .optional();

const keysSchema = z
  .strictObject({
    tcp: targetSchema.optional().describe(`address and port to listen on: 127.0.0.1:${MODBUS_PORT}`),
    serial: z.string().min(1).optional().describe('a serial line to be a slave on'),
    usb: usbSchema.optional().describe('a serial adapter by its USB ids instead of a path'),
    rs485: z
      .enum(['off', 'kernel', 'rts'])
      .optional()
      .describe(
        'serial: switching of an RS-485 transceiver: off (default: it switches by itself), by the kernel, or by this process with RTS',
      ),
    framing: z.enum(['rtu', 'ascii']).optional().describe('frames on the serial line; default rtu'),
    line: lineSchema.optional().describe('settings of the serial line; default 9600-8N1'),
    unit: unitSchema.optional().describe('serial: the address it answers to, default 1; over TCP it answers to all'),
    coils: addressed(z.string().min(1)).describe('digital pins by address; outputs can be written'),
    discrete: addressed(z.string().min(1)).describe('digital pins by address, read only'),
    holding: addressed(entrySchema).describe('pins by address of their first register; outputs can be written'),
    input: addressed(entrySchema).describe('pins by address of their first register, read only'),
    gateway: z.string().min(1).optional().describe('in place of pins: the Modbus port whose devices are shared'),
    read_only: z.boolean().prefault(false).describe('refuse every write'),
    clients: z.array(z.string().min(1)).optional().describe('TCP: addresses that may connect; Modbus has no passwords'),
    insecure: z
      .boolean()
      .optional()
      .describe('TCP: accept that anyone who reaches the port can do all this; default false'),
  })
  .superRefine((keys, context) => {
    const fail = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    const { tcp, serial, usb, clients, insecure, gateway } = keys;
    if ([tcp, serial, usb].filter((one) => one !== undefined).length !== 1)
      fail('tcp', 'exactly one of tcp, serial, usb');
    for (const key of keysWithoutEffect(keys)) fail(key, `${key} has no effect on this server`);
    const tables = (['coils', 'discrete', 'holding', 'input'] as const).filter((table) => keys[table] !== undefined);
    if (gateway === undefined && tables.length === 0)
      fail('holding', 'nothing to show: coils, discrete, holding, input or gateway');
    if (gateway !== undefined && tables[0]) fail(tables[0], 'a gateway shows the devices behind it, no pins');
    const local =
      tcp?.host === 'localhost' || tcp?.host === '::1' || (isIPv4(tcp?.host ?? '') && tcp?.host.startsWith('127.'));
    if (tcp && !local && !clients && !insecure)
      fail(
        'tcp',
        `listening on ${tcp.host} lets every machine that reaches it write: name clients: [ADDRESS], or insecure: true`,
      );
  });

const SERIAL_KEYS = ['framing', 'line', 'rs485', 'unit'] as const;
const TCP_KEYS = ['clients', 'insecure'] as const;

function keysWithoutEffect(keys: Readonly<Record<string, unknown>>): string[] {
  const without: string[] = keys['tcp'] === undefined ? [...TCP_KEYS] : [...SERIAL_KEYS];
  // A gateway passes on requests to every unit.
  if (keys['gateway'] !== undefined) without.push('unit');
  return [...new Set(without)].filter((key) => keys[key] !== undefined);
}

/** The keys of an entry in `servers:`. */
export const serverSchema = keysSchema.transform((keys) => ({
  ...keys,
  framing: keys.framing ?? 'rtu',
  line: keys.line ?? DEFAULT_LINE,
  rs485: keys.rs485 ?? 'off',
  unit: keys.unit ?? 1,
}));
export type ServerOptions = z.output<typeof serverSchema>;
