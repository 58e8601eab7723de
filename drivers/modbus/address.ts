import { z } from 'zod';
import type { ChannelFacts } from '../../src/driver/contract.ts';
import { type AddressKeys, addressKeys, MANUAL_DIGIT } from './address-keys.ts';
import { isBitTable, MAX_READ_REGISTERS, type Span, type Table } from './protocol/request.ts';
import type { Quirks } from './quirks.ts';
import { type Format, type FormatSpec, formatOf } from './value/format.ts';
import type { Verify } from './verify.ts';

/** Where a pin is on a Modbus bus, and how its value lies there. */
export interface ModbusAddress extends FormatSpec {
  /** Absent: the port's. */
  readonly unit: number | undefined;
  readonly table: Table;
  /** The address on the wire, 0-based. */
  readonly first: number;
  /** SunSpec model whose place the device tells; `first` counts from its id register. */
  readonly model: number | undefined;
  /** Absent: the port's. */
  readonly pollMs: number | undefined;
  readonly quirks: Quirks | undefined;
  readonly verify: Verify | undefined;
}

/** What an address inherits from its port. */
export interface AddressDefaults {
  readonly unit: number;
}

const tables = ['coil', 'discrete', 'holding', 'input'] as const;

/** A key and what is wrong with it. */
class Mistake {
  readonly key: keyof AddressKeys;
  readonly message: string;

  constructor(key: keyof AddressKeys, message: string) {
    this.key = key;
    this.message = message;
  }
}

/** The keys of a pin on a Modbus port. */
export const addressSchema = addressKeys.transform((keys, context): ModbusAddress => {
  const address = addressOf(keys);
  if (!(address instanceof Mistake)) return address;
  context.addIssue({ code: 'custom', path: [address.key], message: address.message });
  return z.NEVER;
});

function addressOf(keys: AddressKeys): ModbusAddress | Mistake {
  const named = tables.filter((table) => keys[table] !== undefined);
  const table = named[0];
  if (table === undefined || named.length > 1) {
    const found = named.length > 1 ? `${named.join(' and ')} are given` : 'none is given';
    return new Mistake(named[1] ?? 'holding', `exactly one of coil, discrete, holding, input: ${found}`);
  }
  const first = wireAddress(table, keys[table] ?? 0, keys.base);
  if (typeof first === 'string') return new Mistake(table, first);
  if (keys.sunspec !== undefined && table !== 'holding')
    return new Mistake(table, 'SunSpec models are in holding registers');
  const type = keys.type ?? (keys.bit === undefined ? 'uint16' : 'bool');
  const bits = bitsOf(keys);
  const mistake = isBitTable(table) ? bitMistake(table, keys) : registerMistake(keys, type, bits);
  if (mistake) return mistake;
  const verify = verifyOf(keys, table);
  if (verify instanceof Mistake) return verify;
  const address: ModbusAddress = {
    unit: keys.unit,
    table,
    first,
    type,
    order: keys.order ?? 'ABCD',
    length: keys.length,
    bits,
    values: keys.values,
    invalid: keys.invalid,
    scaleAt: keys.scale_from === undefined ? undefined : keys.scale_from - first,
    model: keys.sunspec,
    pollMs: keys.poll,
    quirks: keys.quirks,
    verify,
  };
  const last = first + spanOf(address, { unit: 1 }).count - 1;
  if (last > 0xffff) return new Mistake(table, `the value would end at ${last}; the last address is 65535`);
  if (readSpanOf(address, { unit: 1 }).count > MAX_READ_REGISTERS)
    return new Mistake('scale_from', `within ${MAX_READ_REGISTERS} registers of the value, to be read along with it`);
  return address;
}

function verifyOf({ verify, scale_from }: AddressKeys, table: Table): Verify | undefined | Mistake {
  if (verify === undefined) return undefined;
  const [shown, second] = tables.filter((one) => verify[one] !== undefined);
  if (shown === undefined || second !== undefined)
    return new Mistake('verify', 'exactly one of coil, discrete, holding, input');
  if (isBitTable(shown) !== isBitTable(table))
    return new Mistake(
      'verify',
      `a ${table} is verified by ${isBitTable(table) ? 'coil or discrete' : 'holding or input'}`,
    );
  if (scale_from !== undefined) return new Mistake('verify', 'a value with scale_from cannot be written');
  return { table: shown, first: verify[shown] ?? 0, delayMs: verify.delay, tolerance: verify.tolerance };
}

function bitsOf({ bit, bits, byte }: AddressKeys): readonly [number, number] | undefined {
  if (bit !== undefined) return [bit, bit];
  if (byte !== undefined) return byte === 'hi' ? [8, 15] : [0, 7];
  return bits;
}

function bitMistake(table: Table, keys: AddressKeys): Mistake | undefined {
  if (keys.type !== undefined && keys.type !== 'bool') return new Mistake('type', `a ${table} is a bool`);
  for (const key of ['order', 'bit', 'bits', 'byte', 'length', 'values', 'invalid', 'scale_from'] as const)
    if (keys[key] !== undefined) return new Mistake(key, `a ${table} is one bit and has no ${key}`);
  return undefined;
}

function registerMistake(
  keys: AddressKeys,
  type: ModbusAddress['type'],
  bits: readonly [number, number] | undefined,
): Mistake | undefined {
  if ([keys.bit, keys.bits, keys.byte].filter((one) => one !== undefined).length > 1)
    return new Mistake('bits', 'only one of bit, bits, byte');
  if ((type === 'bool') !== (keys.bit !== undefined))
    return new Mistake('type', 'a bool in a register needs its bit, and a bit is a bool');
  if ((type === 'int8' || type === 'uint8') !== (keys.byte !== undefined))
    return new Mistake('byte', 'int8 and uint8 need byte: hi or lo, and no other type has one');
  if (keys.bits !== undefined && type !== 'uint16' && type !== 'int16')
    return new Mistake('bits', 'only the types uint16 and int16 have bits');
  if (bits && bits[0] > bits[1]) return new Mistake('bits', 'the lowest bit first');
  const sized = type === 'string' || type === 'raw';
  if (sized && keys.length === undefined) return new Mistake('length', `type ${type} needs its length`);
  if (!sized && keys.length !== undefined) return new Mistake('length', 'only the types string and raw have a length');
  if (type === 'raw' && (keys.length ?? 0) > 123) return new Mistake('length', 'at most 123 registers');
  if (type === 'string' && keys.order !== undefined && keys.order !== 'ABCD' && keys.order !== 'BADC')
    return new Mistake('order', 'text has the order ABCD or, low byte first, BADC');
  const fractional = type.startsWith('float') || sized || type === 'bool';
  if (fractional && keys.values) return new Mistake('values', `type ${type} holds no whole numbers to name`);
  if (fractional && keys.invalid) return new Mistake('invalid', `type ${type} has no raw whole numbers`);
  if ((sized || type === 'bool') && keys.scale_from !== undefined)
    return new Mistake('scale_from', `type ${type} is no number`);
  return undefined;
}

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

/** The run of the device's table that the value takes. */
export function spanOf(address: ModbusAddress, defaults: AddressDefaults): Span {
  return {
    unit: address.unit ?? defaults.unit,
    table: address.table,
    first: address.first,
    count: registerFormat(address)?.words ?? 1,
  };
}

/** What must be read in one piece to know the value: its own run and, if it has one, its scale factor. */
export function readSpanOf(address: ModbusAddress, defaults: AddressDefaults): Span {
  const own = spanOf(address, defaults);
  if (address.scaleAt === undefined) return own;
  const scale = own.first + address.scaleAt;
  const first = Math.min(own.first, scale);
  return { ...own, first, count: Math.max(own.first + own.count, scale + 1) - first };
}

/** See Driver.describe. The key names bits of a register too: `u1/holding/10.3`, `u1/holding/10.8-15`. */
export function describeAddress(address: ModbusAddress, defaults: AddressDefaults): ChannelFacts {
  const writable = (address.table === 'coil' || address.table === 'holding') && address.scaleAt === undefined;
  const [low, high] = address.bits ?? [];
  const place = address.model === undefined ? address.table : `sunspec${address.model}`;
  const part = low === undefined ? '' : low === high ? `.${low}` : `.${low}-${high}`;
  return {
    key: `u${address.unit ?? defaults.unit}/${place}/${address.first}${part}`,
    kind: registerFormat(address)?.kind ?? 'digital',
    directions: writable ? ['in', 'out'] : ['in'],
  };
}
