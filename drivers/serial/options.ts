import { z } from 'zod';
import { lineSchema } from '../../src/driver/parse.ts';
import { captureTypes, compile, MAX_PATTERN } from './pattern.ts';
import { encodings, resolveEscapes } from './text.ts';

/** Bytes written as ASCII text and escapes; one character a byte. */
const bytesText = z
  .string()
  .min(1)
  .transform((text, context) => {
    const foreign = /[^\0-\x7f]/.exec(text)?.[0];
    if (foreign !== undefined) {
      context.addIssue({ code: 'custom', message: `${foreign} is not ASCII; write its bytes as \\xNN` });
      return z.NEVER;
    }
    const found = resolveEscapes(text);
    if (found.ok) return Buffer.from(found.text, 'latin1');
    context.addIssue({ code: 'custom', message: found.complaint });
    return z.NEVER;
  });

const framingSchema = z.strictObject({
  delimiter: bytesText.prefault('\n').describe('text that ends a frame: "\\n", "\\r\\n", ";", "\\x03"'),
  max: z
    .int()
    .min(1)
    .max(65_536)
    .default(4096)
    .describe('longest frame in bytes; a longer one is dropped, counted, and reading goes on after the next delimiter'),
});

export const optionsSchema = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe('the device: /dev/serial/by-id/usb-… (stays the same when replugged), /dev/ttyUSB0, /dev/ttyS0'),
  line: lineSchema.prefault('9600-8N1'),
  framing: framingSchema.prefault({}).describe('where a frame ends'),
  encoding: z.enum(encodings).default('utf8').describe('how bytes are text'),
});
export type SerialOptions = z.infer<typeof optionsSchema>;

const matchSchema = z
  .string()
  .min(1)
  .max(MAX_PATTERN)
  .transform((source, context) => {
    const compiled = compile(source);
    if (compiled.ok) return compiled.match;
    context.addIssue({ code: 'custom', message: compiled.complaint });
    return z.NEVER;
  })
  .describe('a regular expression with one capture, tried on every frame: "ST,GS,\\s*([-+0-9.]+)kg"');

export const pinSchema = z.strictObject({
  match: matchSchema,
  type: z.enum(captureTypes).default('number').describe('what the capture is: a number, a bool (1/0, on/off, …), text'),
});
export type SerialAddress = z.infer<typeof pinSchema>;
