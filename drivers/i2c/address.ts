import { z } from 'zod';
import type { DurationMs } from '../../src/clock/clock.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import type { Direction } from '../../src/pin/pin.ts';
import { hex, type MuxChannel } from './bus.ts';
import type { ChipKind } from './chips/chip.ts';
import { type ChipName, chipNames, chips } from './chips/chips.ts';
import { type RegisterLocation, registerTypes, sizeOf } from './registers.ts';

const byte = z.int().min(0).max(0xff);
const chipAddress = z.int().min(0x03).max(0x77);

const initSchema = z.strictObject({
  register: byte.describe('register to set'),
  value: byte.describe('its value'),
  mask: byte.default(0xff).describe('bits of the register that are set; the others stay'),
  direction: z.enum(['in', 'out']).optional().describe('only for pins of this direction'),
});
export type RegisterSetting = z.infer<typeof initSchema>;

const keys = z.strictObject({
  address: chipAddress.describe('7-bit address of the chip: 0x20'),
  mux: z
    .strictObject({
      address: chipAddress.describe('7-bit address of the multiplexer: 0x70'),
      channel: z.int().min(0).max(7).describe('its channel that the chip is on'),
    })
    .optional()
    .describe('the chip is behind a TCA9548A: its address, and the channel'),
  chip: z.enum(chipNames).optional().describe('a chip whose values take more than reading a register'),
  value: z.string().optional().describe('with chip: which of its values'),
  register: byte.optional().describe('register of the value; none for a chip without registers (PCF8574)'),
  write_register: byte.optional().describe('outputs: the register that is written, if it is another one'),
  type: z.enum(registerTypes).default('u8').describe('encoding of the value'),
  shift: z.int().min(0).max(15).default(0).describe('inputs: the value begins this many bits higher'),
  width: z
    .int()
    .min(1)
    .max(31)
    .optional()
    .describe(
      'unsigned numbers: how many bits the value has; the bits above it are something else, and a write leaves them',
    ),
  zero: z.int().min(0).optional().describe('outputs: what is written for 0, when the chip has a bit for off'),
  bit: z.int().min(0).max(15).optional().describe('the pin is this bit'),
  unused: z
    .int()
    .min(0)
    .max(0xffff)
    .default(0)
    .describe('bits of the register that are 0 in every value: when one is 1, nothing or another chip has answered'),
  invalid: z
    .array(z.int())
    .default([])
    .describe("numbers that mean 'no value', such as the ends of a converter's range: the pin becomes bad"),
  init: z.array(initSchema).default([]).describe('registers to set when the chip is taken into use'),
  poll: durationSchema.prefault('200ms').describe('how often it is read'),
});
type Keys = z.infer<typeof keys>;

export interface I2cAddress {
  readonly key: string;
  readonly kind: 'digital' | 'analog' | 'text';
  readonly directions: readonly Direction[];
  readonly address: number;
  readonly mux: MuxChannel | undefined;
  readonly chip: { readonly name: ChipName; readonly value: string } | undefined;
  readonly location: RegisterLocation | undefined;
  readonly init: readonly RegisterSetting[];
  readonly poll: DurationMs;
}

export const pinSchema = keys.transform((found, context): I2cAddress => {
  const refuse = ([key, message]: readonly [string, string]) => {
    context.addIssue({ code: 'custom', message, path: [key] });
    return z.NEVER;
  };
  const problem = found.chip === undefined ? registerKeyError(found) : chipKeyError(found);
  if (problem) return refuse(problem);
  const { address, mux, chip, value, register, type, shift, width, zero, bit, unused, invalid, init, poll } = found;
  const at = mux ? `${hex(mux.address)}/${mux.channel}/${hex(address)}` : hex(address);
  const place = {
    register,
    writeRegister: found.write_register ?? register,
    type,
    shift,
    width,
    zero,
    bit,
    unused,
    invalid,
  };
  const known = chip !== undefined && value !== undefined ? valuesOf(chip)[value] : undefined;
  const where = register === undefined ? type : `register ${hex(register)} ${type}`;
  return {
    key: `${at} ${chip === undefined ? where : `${chip} ${value}`}${bit === undefined ? '' : ` bit ${bit}`}`,
    kind: known?.kind ?? (bit === undefined ? 'analog' : 'digital'),
    directions: known ? [known.direction] : ['in', 'out'],
    address,
    mux,
    chip: chip !== undefined && value !== undefined ? { name: chip, value } : undefined,
    location: chip === undefined ? place : undefined,
    init,
    poll,
  };
});

function valuesOf(chip: ChipName): ChipKind['values'] {
  return chips[chip].values;
}

/** Keys that a chip with code answers itself, and what it says to them. */
const CHIP_KNOWS = {
  register: 'knows its registers',
  write_register: 'knows its registers',
  type: 'knows its values',
  shift: 'knows its values',
  bit: 'has no bits',
  width: 'knows its values',
  zero: 'knows what 0 is',
  unused: 'knows its bits',
  invalid: 'knows which values are none',
  init: 'sets itself up',
} as const;

function chipKeyError(found: Keys): [string, string] | undefined {
  const { chip, value } = found;
  if (chip === undefined) return undefined;
  const names = Object.keys(valuesOf(chip));
  if (value === undefined || !names.includes(value)) return ['value', `${chip} has the values ${names.join(', ')}`];
  const given = {
    ...found,
    type: found.type === 'u8' ? undefined : found.type,
    shift: found.shift || undefined,
    unused: found.unused || undefined,
    invalid: found.invalid[0],
    init: found.init[0],
  };
  for (const [key, knows] of Object.entries(CHIP_KNOWS)) {
    if (Object.entries(given).some(([name, stated]) => name === key && stated !== undefined))
      return [key, `${chip} ${knows}`];
  }
  return undefined;
}

function registerKeyError(found: Keys): [string, string] | undefined {
  const { value, bit, type, shift, register, write_register } = found;
  if (value !== undefined) return ['value', 'value goes with chip'];
  if (bit !== undefined && bit >= 8 * sizeOf(type)) return ['bit', `${type} has the bits 0 to ${8 * sizeOf(type) - 1}`];
  if (shift > 0 && bit !== undefined) return ['shift', 'bit already says which'];
  if (register === undefined && write_register !== undefined) return ['write_register', 'goes with register'];
  return numberKeyError(found);
}

function numberKeyError({ bit, type, shift, width, zero, invalid }: Keys): [string, string] | undefined {
  if (bit !== undefined && zero !== undefined) return ['zero', 'bit already says what 0 is'];
  if (zero !== undefined && zero >= 2 ** (8 * sizeOf(type))) return ['zero', `${type} cannot hold it`];
  if (bit !== undefined && width !== undefined) return ['width', 'bit already says which'];
  if (bit !== undefined && invalid.length > 0) return ['invalid', 'a bit is always a value'];
  if (width !== undefined && type.startsWith('i')) return ['width', `${type} has a sign; width goes with u types`];
  if (width !== undefined && width + shift > 8 * sizeOf(type)) return ['width', `${type} has ${8 * sizeOf(type)} bits`];
  return undefined;
}
