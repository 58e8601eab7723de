import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { durationSchema } from '../driver/kit/schemas.ts';

/** Port numbers of the address broker, as aktos-dcs has always had them. */
export const DEFAULT_RX = 5012;
export const DEFAULT_TX = 5013;

const tcpPort = z.int().min(1).max(65_535);
const ENDPOINT = /^(?:\[([^\]\s]+)\]|([^:\s[\]]+)):(\d{1,5}):(\d{1,5})$/;

const endpointSchema = z
  .string({ error: 'a broker is written as ip:rx:tx, like "192.168.2.161:5012:5013"' })
  .regex(ENDPOINT, { error: 'a broker is written as ip:rx:tx, like "192.168.2.161:5012:5013"' })
  .transform((text, context) => {
    const [, bracketed, host, rx, tx] = ENDPOINT.exec(text) ?? [];
    const ports = [Number(rx), Number(tx)];
    if (ports.some((port) => port < 1 || port > 65_535)) {
      context.addIssue({ code: 'custom', message: 'a TCP port is 1 to 65535' });
    }
    return { host: bracketed ?? host ?? '', rx: Number(rx), tx: Number(tx) };
  })
  .meta({ title: 'ip:rx:tx', description: 'an address broker', examples: ['192.168.2.161:5012:5013'] });

export const busSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe('take part in the bus between processes; false: this process only'),
    listen: z
      .string()
      .min(1)
      .refine((address) => !/^[\d.]+$/.test(address) || isIPv4(address), {
        error: 'an address is four numbers of 0 to 255, like 192.168.1.20',
      })
      .default('127.0.0.1')
      .describe('address to bind; with any but loopback other machines can connect'),
    rx: tcpPort.default(DEFAULT_RX).describe('port on which the address broker receives'),
    tx: tcpPort.default(DEFAULT_TX).describe('port on which the address broker sends'),
    brokers: z.array(endpointSchema).default([]).describe('address brokers of other machines'),
    proxy_brokers: z.array(endpointSchema).default([]).describe('brokers behind a TCP tunnel'),
    insecure: z
      .boolean()
      .default(false)
      .describe('accept that every machine that reaches the port can read all pins and command all outputs'),
    security: z
      .strictObject({
        keys: z
          .string()
          .min(1)
          .describe('folder of this node’s key and of the allowed keys (`dcs-io keys new` makes it)'),
      })
      .optional()
      .describe('encrypt the bus between machines and accept listed keys only'),
  })
  .describe('the bus between processes and machines');

export const boardNameSchema = z.string().min(1).describe('the computer: auto, none, or a name from `dcs-io boards`');
export const boardSchema = z
  .union([
    boardNameSchema,
    z.strictObject({
      model: boardNameSchema.default('auto'),
      enabled: z
        .array(z.string())
        .optional()
        .describe('buses that are enabled and keep their lines (i2c1, spi0); default: as found on this machine'),
    }),
  ])
  .meta({
    description: 'the computer: auto (default), none, a name from `dcs-io boards`, or model with its enabled buses',
    examples: ['raspberry-pi-4b'],
  });

export const hatsSchema = z.array(z.string().min(1)).meta({
  description: 'boards on the header (`dcs-io boards hats` lists them): they give names to their lines',
  examples: [['waveshare-relay-3']],
});

export const driversSchema = z.array(z.string().min(1)).meta({
  description: 'third-party drivers: npm packages installed beside this file, or files (./my-driver.ts)',
  examples: [['dcs-io-driver-foo', './my-driver.ts']],
});

export const stateSchema = z
  .string()
  .min(1)
  .describe(
    'folder of data that outlives a restart: counts, outputs, overrides, the audit log; none: nothing is kept; default: /var/lib/dcs-io when it exists',
  );

export const webRoles = ['view', 'operate', 'admin'] as const;

const webUserSchema = z
  .strictObject({
    role: z
      .enum(webRoles)
      .describe('view: reads; operate: also commands pins; admin: also sends messages of any subject'),
    password: z
      .string()
      .regex(/^scrypt:\d{1,2}:\d{1,2}:\d{1,2}:[\w-]{22,}:[\w-]{43}$/, {
        error: 'a password stands here as its hash; `dcs-io web password` makes it',
      })
      .optional()
      .meta({
        title: 'scrypt:…',
        description: 'hash of the password; `dcs-io web password` makes it',
        writeOnly: true,
      }),
    token: z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/, { error: 'a token stands here as its hash; `dcs-io web token` makes both' })
      .optional()
      .meta({
        title: 'sha256:…',
        description: 'hash of a token for programs; `dcs-io web token` makes both',
        writeOnly: true,
      }),
  })
  .refine(({ password, token }) => password !== undefined || token !== undefined, {
    error: 'a user needs a password or a token; `dcs-io web password` makes the line',
  });

export const webSchema = z
  .strictObject({
    listen: z
      .string({ error: 'an address with a port, like 127.0.0.1:8080' })
      .regex(/^(\[[^\]\s]+\]|[^:\s[\]]+):\d{1,5}$/, { error: 'an address with a port, like 127.0.0.1:8080' })
      .default('127.0.0.1:8080')
      .meta({
        title: 'address:port',
        description: 'address and port of the web page and the HTTP API; any but loopback needs users',
        examples: ['0.0.0.0:8443'],
      }),
    users: z
      .record(z.string().min(1).max(64), webUserSchema)
      .default({})
      .describe('users who may log in; without users everybody on this machine may do everything (loopback only)'),
    tls: z
      .strictObject({
        cert: z.string().min(1).describe('PEM file with the certificate and its chain'),
        key: z
          .string()
          .min(1)
          .regex(/^(?!.*-----BEGIN)/s, { error: 'the name of the file stands here, not the key itself' })
          .meta({ description: 'PEM file with its private key', writeOnly: true }),
      })
      .optional()
      .describe('serve HTTPS'),
    origins: z
      .array(z.string().regex(/^https?:\/\/[^/\s]+$/, { error: 'an origin is written like https://panel.example' }))
      .default([])
      .meta({
        description:
          "origins of other pages whose scripts may use the API, and this page's origin behind a proxy that changes it",
        examples: [['https://panel.example']],
      }),
    history: durationSchema
      .prefault('10m')
      .describe('length of the trends, kept in memory (at most 2,000 changes of a pin)'),
  })
  .describe('the web page and the HTTP API; without this section there is no HTTP server');

/** Default time (ms) from the agent's last sign of life to the safe state of its outputs. */
export const GUARDIAN_TIMEOUT_MS = 5000;
export const guardianSchema = z
  .union([
    z.literal('off'),
    durationSchema.refine((within) => within >= 1000 && within <= 600_000, { error: 'from 1s to 10m' }),
  ])
  .describe('time from a crash or hang of the agent to the safe state of its outputs, 1s to 10m, or off; default 5s');

export const nameSchema = z
  .string()
  .max(256)
  .regex(/^[\p{L}\p{N}_][\p{L}\p{N}_.:/-]*$/u, { error: 'a name is made of letters, digits and _ - . : /' });

const value = z.union([z.boolean(), z.number(), z.string()]);
const text = z.string();

const is = z
  .union([value, z.array(value).min(1)])
  .describe('values that count as on, instead of true and every number but 0; a text pin needs them: [closed]');
const condition = z.strictObject({ pin: text.describe('the other pin'), is: is.optional() });
const conditions = z.union([text, condition, z.array(z.union([text, condition])).min(1)]);
const words = z.union([text, z.array(text).min(1)]);
const RATE = /^\s*([1-9]\d{0,5})\s*\/\s*(s|min|h)\s*$/;
const PERIODS: Readonly<Record<string, number>> = { s: 1000, min: 60_000, h: 3_600_000 };

/** Rules that limit an output for all senders of commands, evaluated in this process. */
const ruleKeys = {
  follow: z
    .union([
      text,
      z.strictObject({
        pin: text.describe('the pin that is copied'),
        is: is.optional().describe('the output is on while the pin has one of these values: [closed]'),
        invert: z.boolean().default(false).describe('copy the opposite value'),
        delay: durationSchema.optional().describe('time for which a change must last before it is copied'),
      }),
    ])
    .optional()
    .describe('outputs: the pin whose value this one copies'),
  interlock: z
    .union([
      text,
      z.array(z.union([text, condition])).min(1),
      z
        .strictObject({
          with: conditions.optional().describe('the other outputs'),
          pin: text.optional().describe('the other output, in place of with'),
          is: is.optional().describe('words of the other text outputs that are on: [run]'),
          dead_time: durationSchema.optional().describe('time for which they must have been off before'),
        })
        .refine((given) => (given.with === undefined) !== (given.pin === undefined), {
          error: 'an interlock names the other outputs: with: [a, b], or pin: a',
        }),
    ])
    .optional()
    .describe(
      'outputs that are never on together with this one; dead_time: time for which they must have been off before; is: the words of a text output that are on',
    ),
  requires: conditions
    .optional()
    .describe('outputs: on only while these pins are good and on; is: while they have one of these values'),
  max_on: durationSchema.optional().describe('outputs: longest time on, then the output goes off'),
  min_on: durationSchema.optional().describe('outputs: shortest time on'),
  min_off: durationSchema.optional().describe('outputs: shortest time off'),
  rate: z
    .string({ error: 'changes in a time: 10/min' })
    .regex(RATE, { error: 'changes in a time: 10/min' })
    .transform((written) => {
      const [, changes, per = ''] = RATE.exec(written) ?? [];
      return { changes: Number(changes), perMs: PERIODS[per] ?? 0 };
    })
    .optional()
    .meta({
      title: 'number/time',
      description: 'outputs: highest number of changes in a time (s, min or h)',
      examples: ['10/min'],
    }),
};

/** The keys of every pin, whatever its driver. */
export const pinKeys = {
  port: text
    .optional()
    .describe('an entry of ports: the hardware the pin is on; not needed when the pin’s own keys name it'),
  direction: z.enum(['in', 'out']).optional().describe('in: the pin is read (default); out: it can be commanded'),
  label: text.optional().describe('name for people'),
  class: z
    .string()
    .regex(/^[a-z][a-z0-9_]*$/, { error: 'a word like voltage, energy, temperature, switch' })
    .optional()
    .meta({
      description: "device class, in Home Assistant's words: voltage, energy, temperature, switch",
      examples: ['temperature'],
    }),
  uom: text.optional().describe('unit of measure: V, kW, °C (unit is the Modbus unit id)'),
  invert: z.boolean().optional().describe('digital: true on the bus is false on the hardware'),
  scale: z.number().optional().describe('numbers: value = raw × scale + offset'),
  offset: z.number().optional().describe('numbers: value = raw × scale + offset'),
  deadband: z.number().min(0).optional().describe('numbers: smallest change that is reported'),
  precision: z.int().min(0).max(12).optional().describe('numbers: digits after the decimal point'),
  tolerance: z
    .number()
    .min(0)
    .optional()
    .describe('number outputs: a read-back that differs by no more than this still confirms a command'),
  max_silence: durationSchema
    .refine((length) => length >= 100, { error: 'at least 100ms' })
    .optional()
    .describe('longest time between two reports, also without a change'),
  range: z
    .tuple([z.number(), z.number()], { error: 'lowest and highest value a command may ask for: [0, 50]' })
    .optional()
    .meta({ description: 'outputs: lowest and highest value a command may ask for', examples: [[0, 50]] }),
  initial: value
    .optional()
    .describe(
      'outputs: the value at start; last: as before the restart; safe: the safe value; default: the hardware’s present value',
    ),
  safe: value.optional().describe('outputs: the value that harms nobody, or off; hold: the output keeps its value'),
  on_exit: z
    .enum(['safe', 'hold', 'input'])
    .optional()
    .describe('outputs, when the agent stops: go to safe, hold the value, or become an input (not driven)'),
  on_loss: z
    .enum(['safe', 'hold', 'rewrite'])
    .optional()
    .describe(
      'outputs, when the port or device comes back, or the pin they follow is bad: go to safe (default when safe is given), hold the value, or rewrite the last confirmed value',
    ),
  rearm: z
    .enum(['auto', 'manual'])
    .optional()
    .describe(
      'outputs, after they went to safe: auto: the next command is accepted (default); manual: a person has to rearm them first',
    ),
  controller: text
    .optional()
    .describe('outputs: the node or actor whose absence sends them to safe; "*": any other node'),
  repeat: durationSchema
    .refine((every) => every >= 100, { error: 'at least 100ms' })
    .optional()
    .describe(
      'outputs: how often the value in force is written again, for devices that fall back to a value of their own without it',
    ),
  debounce: durationSchema.optional().describe('digital inputs: time for which a level must be stable'),
  read_on: text
    .optional()
    .describe('inputs: a pin whose changes trigger a read of this one: the interrupt line of its chip'),
  expr: z
    .union([z.string().min(1).max(2000), z.number()])
    .transform(String)
    .optional()
    .meta({
      description:
        'a pin computed from others: numbers, pins, + - * / % **, comparisons, and or not, ? : and functions',
      examples: ['(a + b) * ct'],
    }),
  quality_from: z
    .union([text, z.array(text)])
    .optional()
    .describe('computed pins: the pins whose quality counts; default: all that the value depends on'),
  stale_after: durationSchema
    .optional()
    .describe('time without confirmation by the hardware after which the value is uncertain'),
  on: words.optional().describe('text: the values that rules count as on'),
  off: text.optional().describe('text outputs: the value that a rule turns the output off with; default: safe'),
  ...ruleKeys,
};
export const pinSchema = z.strictObject(pinKeys);
export type PinKeys = z.infer<typeof pinSchema>;

/** Keys of a device beside the pin keys that its pins inherit. */
export const deviceKeys = {
  port: text.describe('its entry of ports'),
  profile: text.optional().meta({
    description: 'its register map, <maker>/<model>; `dcs-io profiles` lists them',
    examples: ['eastron/sdm120'],
  }),
};
