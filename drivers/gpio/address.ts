import { z } from 'zod';
import type { ChannelFacts } from '../../src/driver/contract.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import { DcsError } from '../../src/errors/errors.ts';

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

/** The edges that count. */
export const edgeKinds = ['rising', 'falling', 'both'] as const;
export type EdgeKind = (typeof edgeKinds)[number];

/** Measurements of a line: Hz, or the seconds of its last complete high or low level. */
export const measures = ['frequency', 'high-time', 'low-time'] as const;
export type Measure = (typeof measures)[number];

const FUNCTIONS = ['count', 'measure', 'encoder', 'pwm'] as const;

/** Highest PWM frequency of software: this process cannot switch a line more often on time. */
export const SOFTWARE_HZ = 50;

const METERS = ['count', 'measure', 'encoder'] as const;

/** The keys of a pin: its line, the wiring of the line, and what is made of it. */
export const pinSchema = z
  .strictObject({
    gpio: lineSchema.describe('the line, by offset (17) or by the name the chip gives it (GPIO17)'),
    bias: z.enum(biases).optional().describe('the resistor in the chip; default: as the system has set it'),
    drive: z.enum(drives).optional().describe('outputs: how the line is driven; default: push-pull'),
    count: z.enum(edgeKinds).optional().describe('makes the pin a counter of these edges'),
    measure: z
      .enum(measures)
      .optional()
      .describe('makes the pin a measurement: frequency (Hz), high-time, low-time (s)'),
    encoder: lineSchema
      .optional()
      .describe('makes the pin a position: the second line (B) of a quadrature encoder whose first (A) is gpio'),
    pwm: z
      .number()
      .min(0.01)
      .max(10_000_000)
      .optional()
      .describe(
        'outputs: PWM with this frequency in Hz; the value is the duty cycle, 0 to 1. By the kernel where the processor’s PWM comes out at the line and the pin names no port, else by software, each edge up to some 2 ms late, at most 50 Hz',
      ),
    report: durationSchema
      .optional()
      .describe('counters and measurements: shortest time between two reports; default: 1s'),
  })
  .refine((keys) => FUNCTIONS.filter((name) => keys[name] !== undefined).length <= 1, {
    error: 'one pin is one of count, measure, encoder, pwm; a second pin on the same line can be another',
  })
  .refine((keys) => keys.report === undefined || METERS.some((name) => keys[name] !== undefined), {
    error: 'a level is told when it changes; report belongs to count, measure and encoder',
    path: ['report'],
  });
export type GpioAddress = z.infer<typeof pinSchema>;

/** Canonical text of a channel, unique within its chip: `line 17`, `line DOOR`, `line 17 count rising`. */
export function channelKey({ gpio, count, measure, encoder, pwm }: GpioAddress): string {
  if (pwm !== undefined) return `line ${gpio} pwm`;
  if (count !== undefined) return `line ${gpio} count ${count}`;
  if (measure !== undefined) return `line ${gpio} ${measure}`;
  return encoder === undefined ? `line ${gpio}` : `line ${gpio} encoder ${encoder}`;
}

/** Kind and directions of a channel. Throws BAD_CONFIG when software PWM is too fast. */
export function channelFacts(address: GpioAddress): ChannelFacts {
  const key = channelKey(address);
  if (address.measure !== undefined) return { key, kind: 'analog', directions: ['in'] };
  if (address.pwm !== undefined && address.pwm > SOFTWARE_HZ) {
    throw new DcsError('BAD_CONFIG', `${key}: software switches ${SOFTWARE_HZ} times a second at most`, {
      found: address.pwm,
      expected: `${SOFTWARE_HZ} or less, or a line that the processor's PWM comes out at, and no port`,
    });
  }
  if (address.pwm !== undefined) return { key, kind: 'analog', directions: ['out'] };
  if (address.count !== undefined || address.encoder !== undefined) return { key, kind: 'counter', directions: ['in'] };
  return { key, kind: 'digital', directions: ['in', 'out'], floats: true };
}
