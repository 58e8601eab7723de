import { z } from 'zod';

const text = z.string().min(1);
/** A name of a line, a bus or a connector. */
export const alias = z.string().regex(/^[A-Za-z][A-Za-z0-9_+./-]*$/, 'a name of letters, digits, _ + - . /');
const offset = z.number().int().nonnegative();

/** What a place on a header is connected to. */
const positionSchema = z.union([
  z.strictObject({ power: text }),
  z.strictObject({ ground: z.literal(true) }),
  z.strictObject({ other: text }),
  z.strictObject({ line: offset, chip: text.optional(), aliases: z.array(alias).default([]) }),
]);
export type Position = z.infer<typeof positionSchema>;

/** A bus of the computer that takes lines for itself once it is enabled. */
const busSchema = z.strictObject({
  device: z.string().startsWith('/').describe('it exists if and only if the bus is enabled'),
  lines: z.array(alias).min(1),
});

export const headerSchema = z.strictObject({
  title: text,
  connectors: z.array(alias).min(1).describe('all names of the connector; J8 makes the alias J8-11'),
  columns: z.union([z.literal(1), z.literal(2)]).default(2),
  chip: text.describe('the chip of positions that name none'),
  positions: z.record(z.string().regex(/^[1-9]\d*$/), positionSchema),
  buses: z.record(alias, busSchema).default({}),
});
export type HeaderData = z.infer<typeof headerSchema>;

const chipSchema = z.strictObject({
  label: text.describe('as the kernel reports it; unlike its number it does not change'),
  lines: z.number().int().positive(),
  mock: z.boolean().default(false).describe('opened by the mock driver'),
  names: z
    .array(
      z.strictObject({
        from: offset,
        to: offset,
        count_from: offset.optional().describe('the number of the first; absent: its offset'),
        as: z.array(z.string().regex(/^[A-Z][A-Z0-9_]*#$/)).min(1),
      }),
    )
    .default([])
    .describe('names of runs of lines; # stands for the number'),
  line_names: z
    .array(z.string())
    .default([])
    .describe("the kernel's names of its lines from offset 0 on, where they are surer than label and offset"),
});

/** Lines that the processor's PWM can come out at. */
export const pwmSchema = z.strictObject({
  title: text,
  hint: text.optional().describe('what else is worth knowing about connecting them'),
  lines: z.record(
    alias,
    z
      .strictObject({
        chip: text.optional().describe('the PWM chip, by the name of its device; absent: the one the board names'),
        channel: offset,
        function: offset.optional().describe('connects the line to it: brcm,function of the device tree'),
        state: text
          .startsWith('/')
          .optional()
          .describe('a file of the system that says pwm while the line is connected'),
        enable: text.describe('what connects the line'),
      })
      .refine((line) => (line.function === undefined) !== (line.state === undefined), 'function or state'),
  ),
});
export type PwmData = z.infer<typeof pwmSchema>;

export const boardSchema = z.strictObject({
  title: text,
  models: z
    .array(text)
    .default([])
    .describe("the device tree's model, without its revision; none: a carrier whose module gives the model"),
  compatible: z.array(text).default([]).describe("one of the device tree's compatible strings"),
  chips: z.record(alias, chipSchema),
  headers: z.array(text).default([]),
  pwm: z
    .strictObject({ lines: text.describe('a file of boards/pwm-lines'), chip: text.optional() })
    .optional()
    .describe("the processor's PWM"),
  aliases: z
    .record(alias, z.strictObject({ chip: text, line: offset }))
    .default({})
    .describe('names of lines that are on no header'),
  serial: z.array(z.strictObject({ path: z.string().startsWith('/dev/'), title: text })).default([]),
  buses: z.record(alias, busSchema).default({}).describe('added to those of the headers, or in their place'),
});
export type BoardData = z.infer<typeof boardSchema>;
