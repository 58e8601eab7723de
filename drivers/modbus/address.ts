import { z } from 'zod';
import type { DurationMs } from '../../src/clock/clock.ts';
import type { ChannelFacts } from '../../src/driver/contract.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { RegisterFormat } from './formats/format.ts';
import { levelMistake, levelsOf } from './levels.ts';
import { isBitTable, type Table, type TableSpan } from './protocol/request.ts';
import { type Quirks, quirksSchema } from './quirks.ts';
import { type ReadPlace, readFormat, readPlaceOf, readSchema } from './read-place.ts';
import { type FormatSpec, formatOf } from './register-format.ts';
import { HEAD_REGISTERS } from './sunspec-chain.ts';
import {
  AddressError,
  exponentMistake,
  exponentOf,
  fieldSpecs,
  fieldsMistake,
  fieldsSchema,
  formatSpecOf,
  scaleFromSchema,
  typeOf,
  valueKeys,
  valueMistake,
} from './value-keys.ts';
import { type PinWriteKeys, pinWriteSchema } from './write-steps.ts';

/** First digit of a table's item numbers in manuals: 40001 is the first holding register. */
export const MANUAL_DIGIT = { coil: 0, discrete: 1, holding: 4, input: 3 } as const;

const written = z.union([z.number(), z.string()]);

const tableText = (table: Table, what: string) =>
  `${what}: its address on the wire, counted from 0; in quotes the manual's notation ("${MANUAL_DIGIT[table]}0001")`;

const bitTableKey = (table: Table, what: string) =>
  z
    .union([z.number(), z.string()], { error: `the address of ${what}, counted from 0` })
    .optional()
    .describe(tableText(table, what));

const registerKey = (table: Table, what: string) =>
  z
    .union([written, z.array(written).min(2)], { error: `the address of ${what}, counted from 0, or a list of them` })
    .optional()
    .describe(
      `${tableText(table, what)}; of a value whose registers are not neighbours a list in their order, [12, 40]`,
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

const verifyKey = (what: string) =>
  z.int().min(0).max(0xffff).optional().describe(`${what} that shows it, counted from 0`);

const verifySchema = z
  .strictObject({
    coil: verifyKey('the coil'),
    discrete: verifyKey('the discrete input'),
    holding: verifyKey('the holding register'),
    input: verifyKey('the input register'),
    delay: durationSchema.prefault('0ms').describe('time the device may take, at most 10s'),
    tolerance: z.number().min(0).default(0).describe('numbers may differ by this, before scale and offset'),
  })
  .refine(({ delay }) => delay <= 10_000, { path: ['delay'], error: 'at most 10s: the answer to the command waits' });

const scaleFromKey = scaleFromSchema
  .optional()
  .describe("address, in the same table, of the register with the value's power of ten (SunSpec)");

/** Keys that each SunSpec model may have of its own. */
const modelKeys = z.strictObject({
  holding: registerKey('holding', 'a holding register'),
  ...valueKeys,
  scale_from: scaleFromKey,
});
const model = z.int().min(1).max(0xfffe);
const SUNSPEC_FORMS =
  'a SunSpec model (103), several ([101, 102, 103]), or each with keys of its own ({103: {…}, 113: {…}})';
const MODELS = /^[1-9]\d{0,4}(, ?[1-9]\d{0,4})*$/;
const modelNumbers = z.string().regex(MODELS, { error: 'the number of a SunSpec model, or several: "101,102,103"' });

/** The keys of a pin on a Modbus port; addressSchema checks how they go together. */
export const addressKeys = z.strictObject({
  coil: bitTableKey('coil', 'a coil'),
  discrete: bitTableKey('discrete', 'a discrete input'),
  holding: registerKey('holding', 'a holding register'),
  input: registerKey('input', 'an input register'),
  base: z.literal([0, 1]).optional().describe('what the first item is called in your map: 0 (default) or 1'),
  unit: unitSchema.optional(),
  ...valueKeys,
  scale_from: scaleFromKey,
  fields: fieldsSchema
    .optional()
    .describe('several values that are read and written together: the pin is text, mode=charge power=-3000'),
  register_bytes: z
    .literal([4, 8])
    .optional()
    .describe('bytes of each register, where the device does not have 2 (Enron Modbus: 4)'),
  sunspec: z
    .union([model, z.array(model).min(1), z.record(modelNumbers, modelKeys)], {
      error: ({ input }) => (isRecord(input) ? undefined : SUNSPEC_FORMS),
    })
    .optional()
    .describe(
      'SunSpec model: holding, scale_from and verify count from its id register, wherever the device has it; of several models the first that the device has, with keys of their own where they differ: {"101,103": {holding: 14, scale_from: 15}, 113: {holding: 22, type: float32}}',
    ),
  instance: z
    .int()
    .min(1)
    .max(64)
    .optional()
    .describe('SunSpec: which of several models of that number; default 1, the first'),
  on: z
    .int({ error: 'the number that means on' })
    .optional()
    .describe('the number that means on: the pin is digital; of a coil what function 5 sends, default 0xFF00'),
  off: z
    .int({ error: 'the number that means off' })
    .optional()
    .describe('the number that means off; of a coil what function 5 sends, default 0'),
  self_clearing: z
    .boolean()
    .optional()
    .describe(
      'outputs: the device carries an order out and clears the register: a read-back of another value is no failure, and the order is never repeated',
    ),
  read: readSchema
    .optional()
    .describe('outputs: where the value is read, if not as it is written; false: it is never read'),
  write: pinWriteSchema
    .optional()
    .describe('outputs: the functions that this device takes writes with, and what is written before and after'),
  verify: verifySchema.optional().describe('outputs: another register or bit that shows the effect of a write'),
  poll: durationSchema.optional().describe('poll period; default: that of the port'),
  quirks: quirksSchema.optional().describe('special needs of this device'),
});

export type AddressKeys = z.output<typeof addressKeys>;

/** Another register or bit that shows whether a write has taken effect. */
export interface Verify {
  readonly table: Table;
  readonly first: number;
  /** Time that the device may take. */
  readonly delayMs: DurationMs;
  /** Numbers may differ by this. */
  readonly tolerance: number;
}

/** Address of a pin on a Modbus bus, and the encoding of its value. */
export interface ModbusAddress extends FormatSpec {
  /** `undefined`: the port's. */
  readonly unit: number | undefined;
  readonly table: Table;
  /** Address on the wire, counted from 0. */
  readonly first: number;
  /** SunSpec model, whose address the device tells; `first` counts from the model's id register. */
  readonly model: number | undefined;
  /** SunSpec: which of several such models; 1 is the first. */
  readonly instance: number;
  /** SunSpec: addresses in other models, for devices that do not have this one. */
  readonly alternatives: readonly ModbusAddress[];
  /** `undefined`: the port's. */
  readonly pollMs: number | undefined;
  readonly quirks: Quirks | undefined;
  readonly verify: Verify | undefined;
  /** Where it is read: where it is written when `undefined`, nowhere when `false`. */
  readonly read: ReadPlace | false | undefined;
  /** The device clears an order that it has carried out. */
  readonly selfClearing: boolean;
  /** Adds to those of the port. */
  readonly write: PinWriteKeys | undefined;
  /** Bytes of a register; 2 when `undefined`. */
  readonly registerBytes: number | undefined;
}

/** Values that an address inherits from its port. */
export interface AddressDefaults {
  readonly unit: number;
}

const tables = ['coil', 'discrete', 'holding', 'input'] as const;

/** The keys of a pin on a Modbus port. */
export const addressSchema = addressKeys.transform((keys, context): ModbusAddress => {
  const refuse = (path: readonly (string | number)[], message: string) => {
    context.addIssue({ code: 'custom', path: [...path], message });
    return z.NEVER;
  };
  if (keys.instance !== undefined && keys.sunspec === undefined)
    return refuse(['instance'], 'only a SunSpec model has instances: it needs sunspec');
  const addresses: ModbusAddress[] = [];
  for (const { keys: own, model, path } of choicesOf(keys)) {
    const address = addressOf(own, model);
    if (address instanceof AddressError) return refuse([...path, ...address.path], address.message);
    addresses.push(address);
  }
  const [first, ...alternatives] = addresses;
  if (!first) return refuse(['sunspec'], 'at least one model');
  const kind = registerFormat(first)?.kind;
  const other = alternatives.find((address) => registerFormat(address)?.kind !== kind);
  if (other) return refuse(['sunspec'], `model ${other.model} gives another kind of value than model ${first.model}`);
  return { ...first, alternatives };
});

/** One address of a pin: its keys, its SunSpec model, and where its own keys are. */
interface AddressChoice {
  readonly keys: AddressKeys;
  readonly model: number | undefined;
  readonly path: readonly string[];
}

function choicesOf(keys: AddressKeys): AddressChoice[] {
  const { sunspec } = keys;
  if (sunspec === undefined || typeof sunspec === 'number') return [{ keys, model: sunspec, path: [] }];
  if (Array.isArray(sunspec)) return sunspec.map((model) => ({ keys, model, path: [] }));
  return Object.entries(sunspec).flatMap(([numbers, own]) => {
    const path = Object.keys(own).length > 0 ? ['sunspec', numbers] : [];
    return numbers.split(',').map((number) => ({ keys: { ...keys, ...own }, model: Number(number), path }));
  });
}

function addressOf(keys: AddressKeys, model: number | undefined): ModbusAddress | AddressError {
  const table = tableOf(keys);
  if (table instanceof AddressError) return table;
  const addresses = wireAddresses(table, keys);
  if (addresses instanceof AddressError) return addresses;
  const first = Math.min(...addresses);
  const own = isBitTable(table) ? bitMistake(table, keys) : registerMistake(keys);
  const mistake = (model === undefined ? undefined : modelMistake(keys, table)) ?? own;
  if (mistake) return mistake;
  const verify = verifyOf(keys, table);
  if (verify instanceof AddressError) return verify;
  const scale = typeof keys.scale_from === 'object' ? keys.scale_from.at : keys.scale_from;
  const written: ModbusAddress = {
    unit: keys.unit,
    table,
    first,
    ...formatSpecOf(keys),
    ...(isBitTable(table) && { type: 'bool' }),
    words: addresses.length > 1 ? addresses.map((one) => one - first) : undefined,
    fields: keys.fields && fieldSpecs(keys.fields, keys.order),
    levels: levelsOf(keys, table),
    scaleOffset: scale === undefined ? undefined : scale - first,
    exponent: exponentOf(keys.scale_from),
    registerBytes: keys.register_bytes,
    model,
    instance: keys.instance ?? 1,
    alternatives: [],
    pollMs: keys.poll,
    quirks: keys.quirks,
    verify,
    write: keys.write,
    read: undefined,
    selfClearing: keys.self_clearing ?? false,
  };
  return withRead(written, keys);
}

/** Adds the place where the value is read, unless something does not fit together. */
function withRead(written: ModbusAddress, keys: AddressKeys): ModbusAddress | AddressError {
  const { read } = keys;
  const mistake = levelMistake(keys, written.table, written, read !== undefined) ?? spanMistake(written);
  if (mistake) return mistake;
  if (read === undefined || read === false) return { ...written, read };
  const other = (['scale_from', 'fields', 'register_bytes'] as const).find((key) => keys[key] !== undefined);
  if (other || written.words)
    return new AddressError('read', `a value with ${other ?? 'a list of addresses'} is read where it is written`);
  const place = readPlaceOf(read, written);
  if (typeof place === 'string') return new AddressError('read', place);
  if (written.model !== undefined && (place.first !== written.first || place.table !== written.table))
    return new AddressError('read', 'a SunSpec point is read where it is written');
  return { ...written, read: place };
}

/** Returns whether the keys are those of a SunSpec point. */
function modelMistake({ write }: AddressKeys, table: Table): AddressError | undefined {
  if (table !== 'holding') return new AddressError(table, 'SunSpec models are in holding registers');
  if (!write?.before && !write?.after) return undefined;
  return new AddressError('write', 'a SunSpec point has no steps before or after it');
}

/** The addresses on the wire: one, or those of registers that are not neighbours. */
function wireAddresses(table: Table, keys: AddressKeys): number[] | AddressError {
  const written = keys[table] ?? 0;
  const list = Array.isArray(written) ? written : [written];
  const addresses: number[] = [];
  for (const one of list) {
    const address = wireAddress(table, one, keys.base);
    if (typeof address === 'string') return new AddressError(table, address);
    if (addresses.includes(address)) return new AddressError(table, `the address ${one} is given twice`);
    addresses.push(address);
  }
  if (addresses.length === 1 && !Array.isArray(written)) return addresses;
  if (keys.sunspec !== undefined || keys.register_bytes !== undefined || keys.fields !== undefined || keys.verify)
    return new AddressError(table, 'a list of addresses has no sunspec, register_bytes, fields or verify');
  return addresses;
}

/** Returns the first mistake in the keys of a value in registers. */
function registerMistake(keys: AddressKeys): AddressError | undefined {
  const { fields } = keys;
  if (!fields) return valueMistake(keys) ?? exponentMistake(keys) ?? widthMistake(keys);
  const others = [
    'type',
    'bit',
    'bits',
    'byte',
    'length',
    'values',
    'invalid',
    'scale_from',
    'register_bytes',
  ] as const;
  const other = others.find((key) => keys[key] !== undefined);
  return other ? new AddressError(other, `a pin with fields has no ${other}; its fields have`) : fieldsMistake(fields);
}

/** Returns whether the value fills its registers of 4 or 8 bytes. */
function widthMistake(keys: AddressKeys): AddressError | undefined {
  const { register_bytes: bytes, scale_from, sunspec, write } = keys;
  if (bytes === undefined) return undefined;
  if (typeof scale_from === 'number' || sunspec !== undefined)
    return new AddressError('register_bytes', 'scale_from: ADDRESS and sunspec are for registers of 2 bytes');
  if (write?.register === 6)
    return new AddressError('write', `registers of ${bytes} bytes are always written with function 16`);
  const taken = 2 * formatOf(formatSpecOf(keys)).registers;
  if (taken % bytes === 0) return undefined;
  return new AddressError('type', `type ${typeOf(keys)} has ${taken} bytes, and a register ${bytes}`);
}

function tableOf(keys: AddressKeys): Table | AddressError {
  const named = tables.filter((table) => keys[table] !== undefined);
  const [table, second] = named;
  if (table !== undefined && second === undefined) return table;
  const found = second === undefined ? 'none is given' : `${named.join(' and ')} are given`;
  return new AddressError(second ?? 'holding', `exactly one of coil, discrete, holding, input: ${found}`);
}

function spanMistake(address: ModbusAddress): AddressError | undefined {
  const { table, first, words, type } = address;
  const last = first + spanOf(address, { unit: 1 }).count - 1;
  if (last > 0xffff) return new AddressError(table, `the value would end at ${last}; the last address is 65535`);
  if (!words) return undefined;
  const needed = formatOf({ ...address, words: undefined, scaleOffset: undefined }).registers;
  if (needed === words.length) return undefined;
  return new AddressError(table, `type ${type} has ${needed} registers, and the list ${words.length}`);
}

function verifyOf({ verify, sunspec }: AddressKeys, table: Table): Verify | undefined | AddressError {
  if (verify === undefined) return undefined;
  const [shown, second] = tables.filter((one) => verify[one] !== undefined);
  if (shown === undefined || second !== undefined)
    return new AddressError('verify', 'exactly one of coil, discrete, holding, input');
  if (isBitTable(shown) !== isBitTable(table))
    return new AddressError(
      'verify',
      `a ${table} is verified by ${isBitTable(table) ? 'coil or discrete' : 'holding or input'}`,
    );
  if (sunspec !== undefined && shown !== 'holding')
    return new AddressError('verify', 'SunSpec models are in holding registers, counted from the id register');
  return { table: shown, first: verify[shown] ?? 0, delayMs: verify.delay, tolerance: verify.tolerance };
}

function bitMistake(table: Table, keys: AddressKeys): AddressError | undefined {
  if (keys.type !== undefined && keys.type !== 'bool') return new AddressError('type', `a ${table} is a bool`);
  const others = ['order', 'bit', 'bits', 'byte', 'length', 'values', 'invalid', 'scale_from', 'fields'] as const;
  for (const key of [...others, 'register_bytes'] as const)
    if (keys[key] !== undefined) return new AddressError(key, `a ${table} is one bit and has no ${key}`);
  return undefined;
}

/** The address on the wire, or the mistake in the one written. */
function wireAddress(table: Table, written: number | string, base: 0 | 1 | undefined): number | string {
  const digit = MANUAL_DIGIT[table];
  if (typeof written === 'string') {
    const item = manualItemNumber(digit, written);
    if (item === undefined) {
      return `"${written}" is not in the manual's notation: write "${digit}0001" for the first item, or a number without quotes for an address counted from 0`;
    }
    return base === undefined ? item - 1 : 'base and the quoted notation of manuals exclude each other';
  }
  if (!Number.isInteger(written)) return `${written} is not a whole number`;
  const item = digit === 0 ? undefined : manualItemNumber(digit, String(written));
  if (base === undefined && item !== undefined) {
    return `addresses are counted from 0: if ${written} is the manual's notation write "${written}" in quotes or ${table}: ${item - 1}; if ${written} really is the address on the wire, add base: 0`;
  }
  const address = written - (base ?? 0);
  if (address < 0 || address > 0xffff)
    return `the address ${written} is outside ${base ?? 0} to ${0xffff + (base ?? 0)}`;
  return address;
}

/** The item number (from 1) of `40011` or `400011`; `undefined` when the text is neither. */
function manualItemNumber(digit: number, text: string): number | undefined {
  const found = /^(\d)(\d{4,5})$/.exec(text);
  if (found?.[1] !== String(digit)) return undefined;
  const item = Number(found[2]);
  return item >= 1 && item <= 0x10000 ? item : undefined;
}

/** The format of an address's registers; `undefined` for coils and discrete inputs. */
export function registerFormat(address: ModbusAddress): RegisterFormat | undefined {
  return isBitTable(address.table) ? undefined : formatOf(address);
}

/** The registers or bits that the value takes, and those between them. */
export function spanOf(address: ModbusAddress, defaults: AddressDefaults): TableSpan {
  const { table, first, registerBytes } = address;
  const bytes = 2 * (registerFormat(address)?.registers ?? 1);
  const count = isBitTable(table) ? 1 : bytes / (registerBytes ?? 2);
  return { unit: address.unit ?? defaults.unit, table, first, count, ...(registerBytes && { registerBytes }) };
}

/** The place where a value is read: where it is written unless it says otherwise. */
export function readPlace(address: ModbusAddress): ReadPlace {
  const { table, first, read } = address;
  return read || { table, first, spec: isBitTable(table) ? undefined : address, delayMs: 0 };
}

/** The registers to know the value from: its own and those up to its scale factor. */
export function readSpanOf(address: ModbusAddress, defaults: AddressDefaults): TableSpan {
  const own = spanOf(address, defaults);
  if (address.read) {
    const { table, first } = address.read;
    return { ...own, table, first, count: readFormat(address.read)?.registers ?? 1 };
  }
  if (address.scaleOffset === undefined) return own;
  const scale = own.first + address.scaleOffset;
  const first = Math.min(own.first, scale);
  return { ...own, first, count: Math.max(own.first + own.count, scale + 1) - first };
}

/** The registers that a poll asks for: a SunSpec model's id and length are read with its points, to notice that it has moved. */
export function pollSpanOf(address: ModbusAddress, defaults: AddressDefaults): TableSpan {
  const own = readSpanOf(address, defaults);
  if (address.model === undefined) return own;
  return { ...own, first: 0, count: Math.max(HEAD_REGISTERS, own.first + own.count) };
}

/** See Driver.describe. The key includes bits of a register: `u1/holding/10.3`, `u1/holding/10.8-15`. */
export function describeAddress(address: ModbusAddress, defaults: AddressDefaults): ChannelFacts {
  const writable = address.table === 'coil' || address.table === 'holding';
  const places = new Set([address, ...address.alternatives].map(placeText));
  return {
    key: `u${address.unit ?? defaults.unit}/${[...places].join('+')}`,
    kind: registerFormat(address)?.kind ?? 'digital',
    ...(address.values && { words: [...new Set(Object.values(address.values))] }),
    directions: writable && !isPartOfWide(address) ? ['in', 'out'] : ['in'],
    ...(address.selfClearing && { momentary: true }),
  };
}

/** Bits of a register of 4 or 8 bytes cannot be written: there is no function for that. */
function isPartOfWide(address: ModbusAddress): boolean {
  return address.registerBytes !== undefined && registerFormat(address)?.own.some((byte) => byte !== 0xff) === true;
}

/** `holding/10`, `sunspec160/21`, `sunspec160#2/21`. */
function placeText(address: ModbusAddress): string {
  const { table, model, instance } = address;
  const place = model === undefined ? table : `sunspec${model}${instance > 1 ? `#${instance}` : ''}`;
  return `${place}/${registersText(address)}`;
}

/** Registers and bits of an address: `10`, `10.3`, `10-11.20`, `12+40`. */
function registersText(address: ModbusAddress): string {
  const { first, words, bits, fields, levels, table } = address;
  const registers = registerFormat(address)?.registers ?? 1;
  // Bits, or the first field, of several registers are not those of the first register.
  const last = (bits || fields) && registers > 1 ? `-${first + registers - 1}` : '';
  const place = words ? words.map((word) => first + word).join('+') : `${first}${last}`;
  const [low, high] = bits ?? [];
  // Two orders to one coil are two channels: on and off, and toggle.
  const order = isBitTable(table) && levels ? `=${levels.on}` : '';
  return `${place}${low === undefined ? '' : low === high ? `.${low}` : `.${low}-${high}`}${order}`;
}
