import { z } from 'zod';
import { durationSchema, lineSchema } from '../../src/driver/kit/schemas.ts';
import { usbSchema } from '../../src/driver/kit/serial-ports.ts';
import { checksumSchema } from './checksum.ts';
import { keyProblem, keySchema } from './dlms/keys.ts';
import { framingSchema } from './framing/framing.ts';
import { pathProblem } from './line/open.ts';
import { encodings } from './text.ts';

const lineState = z.boolean().optional();

export const optionsSchema = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .optional()
      .describe(
        '/dev/serial/by-id/usb-… (stays the same when replugged), /dev/ttyUSB0, tcp://host:port, rfc2217://host:port',
      ),
    usb: usbSchema.optional().describe('the adapter by its USB ids instead of a path; looked up at every opening'),
    line: lineSchema.prefault('9600-8N1'),
    flow: z.enum(['none', 'rtscts', 'xonxoff']).default('none').describe('flow control'),
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
    echo: z.boolean().default(false).describe('the device echoes what it receives; the echo is removed'),
    dtr: lineState.describe('state of DTR while the port is open; default: on, as the kernel sets it'),
    rts: lineState.describe('state of RTS while the port is open; default: on, as the kernel sets it'),
    hupcl: z
      .boolean()
      .default(true)
      .describe('drop DTR at the end; false keeps an Arduino from resetting at each opening'),
    low_latency: z.boolean().default(false).describe('ask the kernel driver to pass bytes on at once'),
  })
  .superRefine(({ path, framing, key, authentication_key }, context) => {
    const message = path === undefined ? undefined : pathProblem(path);
    if (message !== undefined) context.addIssue({ code: 'custom', message, path: ['path'] });
    for (const [name, found, needed, given] of [
      ['key', key, 'framing: dlms', framing.dlms],
      ['authentication_key', authentication_key, 'key', key],
    ] as const) {
      const problem = found === undefined ? undefined : given === undefined ? `goes with ${needed}` : keyProblem(found);
      // The path leads past the value, because the problem would be shown with it: a key must not get into a log.
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem, path: [name, 'digits'] });
    }
  })
  .refine(({ path, usb }) => (path === undefined) !== (usb === undefined), {
    message: 'a port needs path or usb, not both',
    path: ['path'],
  });
export type SerialOptions = z.infer<typeof optionsSchema>;
