import { z } from 'zod';

const text = z.string().min(1);
/** The name of a line, a bus or a connector. */
export const alias = z.string().regex(/^[A-Za-z][A-Za-z0-9_+./-]*$/, 'a name of letters, digits, _ + - . /');
const offset = z.number().int().nonnegative();

/** The connection of a header position. */
const positionSchema = z.union([
  z.strictObject({ power: text }),
  z.strictObject({ ground: z.literal(true) }),
  z.strictObject({ other: text }),
  z.strictObject({ line: offset, chip: text.optional(), aliases: z.array(alias).default([]) }),
]);
export type Position = z.infer<typeof positionSchema>;

/** A bus of the computer. It keeps its lines for itself while it is enabled. */
const busSchema = z.strictObject({
  device: z.string().startsWith('/').describe('a device that exists if and only if the bus is enabled'),
  lines: z.array(alias).min(1),
});

export const headerSchema = z.strictObject({
  title: text,
  connectors: z.array(alias).min(1).describe('all names of the connector; J8 makes the alias J8-11'),
  columns: z.union([z.literal(1), z.literal(2)]).default(2),
  chip: text.describe('the chip of positions that name no chip'),
  positions: z.record(z.string().regex(/^[1-9]\d*$/), positionSchema),
  buses: z.record(alias, busSchema).default({}),
});
export type HeaderData = z.infer<typeof headerSchema>;

const chipSchema = z.strictObject({
  label: text.describe('the label that the kernel reports; unlike the number it does not change'),
  lines: z.number().int().positive(),
  mock: z.boolean().default(false).describe('the chip does not exist: the mock driver simulates it'),
  names: z
    .array(
      z.strictObject({
        from: offset,
        to: offset,
        count_from: offset.optional().describe('the number of the first line; default: its offset'),
        as: z.array(z.string().regex(/^[A-Z][A-Z0-9_]*#$/)).min(1),
      }),
    )
    .default([])
    .describe('names of consecutive lines; # stands for the number'),
  line_names: z
    .array(z.string())
    .default([])
    .describe(
      "the kernel's names of the lines from offset 0, for boards on which they are more stable than label and offset",
    ),
});

/** Lines at which the processor's PWM can come out. */
export const pwmSchema = z.strictObject({
  title: text,
  hint: text.optional().describe('a hint about connecting them'),
  lines: z.record(
    alias,
    z
      .strictObject({
        chip: text.optional().describe('the PWM chip, by the name of its device; default: the chip of the board'),
        channel: offset,
        function: offset.optional().describe('the brcm,function of the device tree that connects the line'),
        state: text.startsWith('/').optional().describe('a file that says pwm while the line is connected'),
        enable: text.describe('how a person connects the line'),
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
    .describe("the device tree's models, without revision; empty for a carrier, whose module gives the model"),
  compatible: z.array(text).default([]).describe('compatible strings of the device tree'),
  chips: z.record(alias, chipSchema),
  headers: z.array(text).default([]),
  pwm: z
    .strictObject({ lines: text.describe('a file in boards/pwm-lines'), chip: text.optional() })
    .optional()
    .describe("the processor's PWM"),
  aliases: z
    .record(alias, z.strictObject({ chip: text, line: offset }))
    .default({})
    .describe('names of lines that are on no header'),
  serial: z.array(z.strictObject({ path: z.string().startsWith('/dev/'), title: text })).default([]),
  buses: z.record(alias, busSchema).default({}).describe('further buses, and buses that replace those of the headers'),
});
export type BoardData = z.infer<typeof boardSchema>;
