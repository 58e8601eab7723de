import { z } from 'zod';

export const biases = ['pull-up', 'pull-down', 'off'] as const;
export type Bias = (typeof biases)[number];

export const drives = ['push-pull', 'open-drain', 'open-source'] as const;
export type Drive = (typeof drives)[number];

/** The keys of a GPIO port: one gpiochip. */
export const optionsSchema = z.strictObject({
  chip: z
    .string({ error: 'the label or the name of a gpiochip: pinctrl-bcm2711, gpiochip0' })
    .min(1)
    .describe('the chip, by label (pinctrl-bcm2711, which never changes) or device name (gpiochip0)'),
  backend: z
    .enum(['auto', 'chardev', 'onoff'])
    .default('auto')
    .describe(
      'the kernel interface: chardev (/dev/gpiochipN), onoff (sysfs, for old kernels), auto: the best there is',
    ),
});
export type GpioOptions = z.infer<typeof optionsSchema>;

const HIGHEST_OFFSET = 0xffff_ffff;

const lineSchema = z
  .union([z.number().int().nonnegative().max(HIGHEST_OFFSET), z.string().min(1).max(31)], {
    error: 'a line of the chip: its offset (17) or its name (GPIO17)',
  })
  .transform((line) => (typeof line === 'string' && /^\d{1,9}$/.test(line) ? Number(line) : line));

/** The keys of a pin that say which line it is and how the line is wired. */
export const pinSchema = z.strictObject({
  gpio: lineSchema.describe('the line, by offset (17) or by the name the chip gives it (GPIO17)'),
  bias: z.enum(biases).optional().describe('the resistor in the chip; absent: as the system has set it'),
  drive: z.enum(drives).optional().describe('outputs: how the line is driven; absent: push-pull'),
});
export type GpioAddress = z.infer<typeof pinSchema>;

/** Canonical text of a line, unique within its chip: `line 17`, `line DOOR`. */
export function lineKey(line: number | string): string {
  return `line ${line}`;
}
