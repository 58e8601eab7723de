import { z } from 'zod';
import type { ChannelFacts } from '../../src/driver/driver.ts';
import { durationSchema } from '../../src/driver/parse.ts';
import { isBitTable, type Span, type Table } from './protocol/request.ts';
import { type Quirks, quirksSchema } from './quirks.ts';
import { type Format, formatOf, type ValueType, valueTypes } from './value/format.ts';
import { type ByteOrder, byteOrders } from './value/order.ts';

/** Where a pin is on a Modbus bus, and how its value lies there. */
export interface ModbusAddress {
  /** Absent: the port's. */
  readonly unit: number | undefined;
  readonly table: Table;
  /** The address on the wire, 0-based. */
  readonly first: number;
  readonly type: ValueType;
  readonly order: ByteOrder;
  readonly length: number | undefined;
  readonly invalid: readonly (number | string)[] | undefined;
  /** Absent: the port's. */
  readonly pollMs: number | undefined;
  readonly quirks: Quirks | undefined;
}

/** What an address inherits from its port. */
export interface AddressDefaults {
  readonly unit: number;
}

/** First digit of the numbers that manuals give to the items of a table (40001 is the first holding register). */
const MANUAL_DIGIT = { coil: 0, discrete: 1, holding: 4, input: 3 } as const;
const tables = ['coil', 'discrete', 'holding', 'input'] as const;

const where = (table: Table, what: string) =>
  z
    .union([z.number(), z.string()], { error: `the address of ${what}, counted from 0` })
    .optional()
    .describe(
      `${what}: its address on the wire, counted from 0; in quotes the manual's notation ("${MANUAL_DIGIT[table]}0001")`,
    );

export const unitSchema = z
  .number({
    error: (issue) =>
      typeof issue.input === 'string'
        ? `unit is the device's Modbus address, 0 to 255; for a unit of measure write uom: ${issue.input}`
        : "the device's Modbus address, 0 to 255",
  })
  .int()
  .min(0)
  .max(255)
  .describe("the device's Modbus address (slave id), 0 to 255");

/** The keys of a pin on a Modbus port. */
export const addressSchema = z
  .strictObject({
    coil: where('coil', 'a coil'),
    discrete: where('discrete', 'a discrete input'),
    holding: where('holding', 'a holding register'),
    input: where('input', 'an input register'),
    base: z.literal([0, 1]).optional().describe('what the first item is called in your map: 0 (default) or 1'),
    unit: unitSchema.optional(),
    type: z
      .enum(['bool', ...valueTypes])
      .optional()
      .describe('how the value lies in its registers; default uint16'),
    order: z.enum(byteOrders).optional().describe('order of the bytes, A being the highest; default ABCD'),
    length: z.int().min(1).max(246).optional().describe('string: number of characters; raw: number of registers'),
    invalid: z
      .array(z.union([z.int(), z.string().regex(/^-?\d+$/)]))
      .optional()
      .describe("raw values by which the device says 'no value': the pin becomes bad"),
    poll: durationSchema.optional().describe('how often it is read; default: as the port says'),
    quirks: quirksSchema.optional().describe('how this device wants to be treated'),
  })
  .transform((keys, context): ModbusAddress => {
    const fail = (path: string, message: string) => {
      context.addIssue({ code: 'custom', path: [path], message });
      return z.NEVER;
    };
    const named = tables.filter((table) => keys[table] !== undefined);
    const table = named[0];
    if (table === undefined || named.length > 1) {
      const found = named.length > 1 ? `${named.join(' and ')} are given` : 'none is given';
      return fail(named[1] ?? 'holding', `exactly one of coil, discrete, holding, input: ${found}`);
    }
    const first = wireAddress(table, keys[table] ?? 0, keys.base);
    if (typeof first === 'string') return fail(table, first);
    const bit = isBitTable(table);
    const { type } = keys;
    if (bit && type !== undefined && type !== 'bool') return fail('type', `a ${table} is a bool`);
    if (!bit && type === 'bool') return fail('type', `a ${table} register is not a bool`);
    if (bit && keys.order !== undefined) return fail('order', `a ${table} is one bit and has no byte order`);
    const sized = type === 'string' || type === 'raw';
    if (sized && keys.length === undefined) return fail('length', `type ${type} needs its length`);
    if (!sized && keys.length !== undefined) return fail('length', 'only the types string and raw have a length');
    if (type === 'raw' && (keys.length ?? 0) > 123) return fail('length', 'at most 123 registers');
    const address: ModbusAddress = {
      unit: keys.unit,
      table,
      first,
      type: type === undefined || type === 'bool' ? 'uint16' : type,
      order: keys.order ?? 'ABCD',
      length: keys.length,
      invalid: keys.invalid,
      pollMs: keys.poll,
      quirks: keys.quirks,
    };
    const last = first + spanOf(address, { unit: 1 }).count - 1;
    if (last > 0xffff) return fail(table, `the value would end at ${last}; the last address is 65535`);
    return address;
  });

/** The address on the wire, or what is wrong with the one written. */
function wireAddress(table: Table, written: number | string, base: 0 | 1 | undefined): number | string {
  const digit = MANUAL_DIGIT[table];
  if (typeof written === 'string') {
    const item = manualItem(digit, written);
    if (item === undefined) {
      return `"${written}" is not in the manual's notation: write "${digit}0001" for the first item, or a number without quotes for an address counted from 0`;
    }
    return base === undefined ? item - 1 : 'base and the quoted notation of manuals exclude each other';
  }
  if (!Number.isInteger(written)) return `${written} is not a whole number`;
  const item = digit === 0 ? undefined : manualItem(digit, String(written));
  if (base === undefined && item !== undefined) {
    return `addresses are counted from 0: if ${written} is the manual's notation write "${written}" in quotes or ${table}: ${item - 1}; if ${written} really is the address on the wire, add base: 0`;
  }
  const address = written - (base ?? 0);
  if (address < 0 || address > 0xffff)
    return `the address ${written} is outside ${base ?? 0} to ${0xffff + (base ?? 0)}`;
  return address;
}

/** The 1-based item of `40011` or `400011`; undefined when it is neither. */
function manualItem(digit: number, text: string): number | undefined {
  const found = /^(\d)(\d{4,5})$/.exec(text);
  if (found?.[1] !== String(digit)) return undefined;
  const item = Number(found[2]);
  return item >= 1 && item <= 0x10000 ? item : undefined;
}

/** How the registers of an address become a value; undefined for coils and discrete inputs. */
export function registerFormat(address: ModbusAddress): Format | undefined {
  return isBitTable(address.table) ? undefined : formatOf(address);
}

/** The run of the device's table that the value takes: what must be read in one piece, and what may not overlap. */
export function spanOf(address: ModbusAddress, defaults: AddressDefaults): Span {
  return {
    unit: address.unit ?? defaults.unit,
    table: address.table,
    first: address.first,
    count: registerFormat(address)?.words ?? 1,
  };
}

/** See Driver.describe. */
export function describeAddress(address: ModbusAddress, defaults: AddressDefaults): ChannelFacts {
  const writable = address.table === 'coil' || address.table === 'holding';
  return {
    key: `u${address.unit ?? defaults.unit}/${address.table}/${address.first}`,
    kind: registerFormat(address)?.kind ?? 'digital',
    directions: writable ? ['in', 'out'] : ['in'],
  };
}
