import { z } from 'zod';
import { durationSchema, type LineSettings, lineSchema } from '../../src/driver/kit/schemas.ts';
import { usbSchema } from '../../src/driver/kit/serial-ports.ts';
import { checksumSchema } from './checksum.ts';
import { keyProblem, keySchema } from './dlms/keys.ts';
import { framingSchema } from './framing/framing.ts';
import { networkPath, pathProblem } from './line/network-path.ts';
import { encodings } from './text.ts';

const lineState = z.boolean().optional();

const DEFAULT_LINE: LineSettings = { baud: 9600, dataBits: 8, parity: 'none', stopBits: 1 };

const keysSchema = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .optional()
      .describe(
        '/dev/serial/by-id/usb-… (stays the same when replugged), /dev/ttyUSB0, tcp://host:port, rfc2217://host:port',
      ),
    usb: usbSchema.optional().describe('the adapter by its USB ids instead of a path; looked up at every opening'),
    line: lineSchema
      .optional()
      .describe('settings of the line, not with tcp://: baud, data bits, parity, stop bits; default 9600-8N1'),
    flow: z
      .enum(['none', 'rtscts', 'xonxoff'])
      .optional()
      .describe('flow control, not with tcp://: none (default), rtscts or xonxoff'),
    framing: framingSchema
      .prefault({})
      .describe(
        'how bytes are split into frames; default { delimiter: "\\n" }; dlms: the telegrams of a meter by HDLC, M-Bus or without',
      ),
    key: keySchema
      .optional()
      .describe(
        'framing dlms: the encryption key of the meter (GUEK): 32 hexadecimal digits in quotes, or { file: … }',
      ),
    authentication_key: keySchema
      .optional()
      .describe('with key: the authentication key (GAK); default: the one that all meters of Luxembourg have'),
    checksum: checksumSchema.optional().describe('every frame must have this checksum; others are dropped and counted'),
    encoding: z.enum(encodings).default('utf8').describe('text encoding; binary: one character a byte'),
    timeout: durationSchema.prefault('1s').describe('timeout of the answer to ask, and of the reply to write'),
    retries: z.int().min(0).max(10).default(1).describe('how often ask is sent again when no answer comes'),
    misses: z
      .int()
      .min(1)
      .max(1000)
      .default(8)
      .describe(
        'requests in a row without an answer, repetitions included, after which the pins that an ask fills are bad',
      ),
    echo: z.boolean().default(false).describe('the device echoes what it receives; the echo is removed'),
    dtr: lineState.describe('state of DTR while the port is open; default: on, as the kernel sets it'),
    rts: lineState.describe('state of RTS while the port is open; default: on, as the kernel sets it'),
    hupcl: z
      .boolean()
      .optional()
      .describe(
        'a line of this machine: drop DTR at the end (default true); false keeps an Arduino from resetting at each opening',
      ),
    low_latency: z
      .boolean()
      .optional()
      .describe('a line of this machine: ask the kernel driver to pass bytes on at once; default false'),
  })
  .superRefine(({ path, framing, key, authentication_key }, context) => {
    const message = path === undefined ? undefined : pathProblem(path);
    if (message !== undefined) context.addIssue({ code: 'custom', message, path: ['path'] });
    for (const [name, found, needed, given] of [
      ['key', key, 'framing: dlms', framing.dlms],
      ['authentication_key', authentication_key, 'key', key],
    ] as const) {
      const problem = found === undefined ? undefined : given === undefined ? `goes with ${needed}` : keyProblem(found);
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem, path: [name] });
    }
  })
  .refine(({ path, usb }) => (path === undefined) !== (usb === undefined), {
    message: 'a port needs path or usb, not both',
    path: ['path'],
  })
  .superRefine((keys, context) => {
    for (const [key, message] of keysWithoutEffect(keys)) context.addIssue({ code: 'custom', message, path: [key] });
  });

export const optionsSchema = keysSchema.transform((keys) => ({
  ...keys,
  line: keys.line ?? DEFAULT_LINE,
  flow: keys.flow ?? 'none',
  hupcl: keys.hupcl ?? true,
  low_latency: keys.low_latency ?? false,
}));

const NETWORK_KEYS = ['hupcl', 'low_latency'] as const;
const TCP_KEYS = ['line', 'flow', 'dtr', 'rts', ...NETWORK_KEYS] as const;

/** Keys that the path gives no effect: the key and the reason. */
function keysWithoutEffect(keys: {
  readonly path?: string | undefined;
  readonly [key: string]: unknown;
}): [string, string][] {
  const scheme = networkPath(keys.path ?? '')?.scheme;
  if (scheme === undefined) return [];
  const [without, instead] =
    scheme === 'tcp'
      ? [TCP_KEYS, 'the device server has settings of its own, which rfc2217:// can set']
      : [NETWORK_KEYS, 'the line belongs to the device server'];
  return without
    .filter((key) => keys[key] !== undefined)
    .map((key) => [key, `${key} has no effect over ${scheme}://: ${instead}`]);
}

export type SerialOptions = z.infer<typeof optionsSchema>;
