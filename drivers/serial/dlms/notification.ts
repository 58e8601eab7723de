import { DcsError } from '../../../src/errors/errors.ts';
import { lengthAt } from './links.ts';

export const NOTIFICATION_TAG = 0x0f;
/** Most values in values that a meter may send: deeper ones are damage. */
const MAX_DEPTH = 8;

/** Units of measure (DLMS Blue Book, table 4), as telegrams of DSMR write them. */
const UNITS: Readonly<Record<number, string>> = {
  ...{ 1: 'a', 4: 'd', 5: 'h', 6: 'min', 7: 's', 8: '°', 9: '°C', 11: 'm', 12: 'm/s', 13: 'm3', 14: 'm3', 15: 'm3/h' },
  ...{ 16: 'm3/h', 19: 'l', 20: 'kg', 23: 'Pa', 24: 'bar', 25: 'J', 27: 'W', 28: 'VA', 29: 'var', 30: 'Wh', 31: 'VAh' },
  ...{ 32: 'varh', 33: 'A', 35: 'V', 44: 'Hz', 56: '%' },
};

/** Types of numbers: bytes, and whether they are signed. */
const NUMBERS: Readonly<Record<number, readonly [bytes: number, signed: boolean]>> = {
  ...{ 5: [4, true], 6: [4, false], 13: [1, false], 15: [1, true], 16: [2, true], 17: [1, false], 18: [2, false] },
  ...{ 20: [8, true], 21: [8, false], 22: [1, false] },
};

/** A value of a notification. Structures and arrays are not kept: all meters can be read without them. */
type Leaf =
  | { readonly kind: 'number'; readonly type: number; readonly value: bigint }
  | { readonly kind: 'text'; readonly bytes: Buffer }
  | { readonly kind: 'other'; readonly text: string };

/**
 * Turns a data-notification (DLMS Green Book 9.3.10) into lines like those of a DSMR telegram: `1-0:1.8.0(9108*Wh)`. A value
 * whose meter sends no OBIS code gets its number in the notification: `#6(374)`. Throws BAD_REPLY when it is damaged, which also
 * is what a wrong key makes of it.
 */
export function notificationText(apdu: Buffer): Buffer {
  const reader = new Reader(apdu);
  reader.skip(5);
  // A date: none, twelve bytes, or an octet string of twelve.
  const length = reader.byte();
  reader.skip(length === 9 ? reader.byte() : length);
  const leaves: Leaf[] = [];
  reader.read(leaves, 0);
  if (!reader.atEnd) throw damaged(apdu);
  return Buffer.from(['', ...linesOf(leaves), ''].join('\r\n'), 'latin1');
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    return this.take(1).readUInt8();
  }

  skip(length: number): void {
    this.take(length);
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw damaged(this.#bytes);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #length(): number {
    const found = lengthAt(this.#bytes, this.#at);
    if (!found) throw damaged(this.#bytes);
    this.#at = found.from;
    return found.length;
  }

  read(into: Leaf[], depth: number): void {
    const type = this.byte();
    const number = NUMBERS[type];
    if (number) into.push({ kind: 'number', type, value: integerOf(this.take(number[0]), number[1]) });
    else if (type === 1 || type === 2) this.#readInner(into, depth);
    else into.push(this.#leaf(type));
  }

  #readInner(into: Leaf[], depth: number): void {
    if (depth >= MAX_DEPTH) throw damaged(this.#bytes);
    const count = this.#length();
    for (let at = 0; at < count; at++) this.read(into, depth + 1);
  }

  #leaf(type: number): Leaf {
    if (type === 0) return { kind: 'other', text: '' };
    if (type === 3) return { kind: 'other', text: this.byte() === 0 ? '0' : '1' };
    if (type === 4) return { kind: 'other', text: this.take(Math.ceil(this.#length() / 8)).toString('hex') };
    if (type === 9 || type === 10 || type === 12) return { kind: 'text', bytes: this.take(this.#length()) };
    if (type === 23) return { kind: 'other', text: String(this.take(4).readFloatBE()) };
    if (type === 24) return { kind: 'other', text: String(this.take(8).readDoubleBE()) };
    if (type === 25) return { kind: 'text', bytes: this.take(12) };
    throw damaged(this.#bytes);
  }
}

function damaged(bytes: Buffer): DcsError {
  return new DcsError('BAD_REPLY', 'the telegram cannot be read: it is damaged, or the key is wrong', {
    found: `${bytes.length} bytes`,
    expected: 'a DLMS data-notification',
  });
}

function integerOf(bytes: Buffer, signed: boolean): bigint {
  const value = BigInt(`0x${bytes.toString('hex')}`);
  return signed ? BigInt.asIntN(8 * bytes.length, value) : value;
}

function linesOf(leaves: readonly Leaf[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < leaves.length; ) {
    const name = obisOf(leaves[at]);
    const value = leaves[name === undefined ? at : at + 1];
    const next = at + (name === undefined ? 1 : 2);
    const unit = value?.kind === 'number' ? scaleAt(leaves, next) : undefined;
    lines.push(`${name ?? `#${at}`}(${value === undefined ? '' : textOf(value, unit)})`);
    at = next + (unit ? 2 : 0);
  }
  return lines;
}

/** An OBIS code: six bytes of which the last is 255. */
function obisOf(leaf: Leaf | undefined): string | undefined {
  if (leaf?.kind !== 'text' || leaf.bytes.length !== 6 || leaf.bytes[5] !== 0xff) return undefined;
  const [a, b, c, d, e] = leaf.bytes;
  return `${a}-${b}:${c}.${d}.${e}`;
}

interface Scale {
  readonly exponent: number;
  readonly unit: string;
}

/** The power of ten (an 8-bit integer) and the unit (an enumeration) that stand after a value. */
function scaleAt(leaves: readonly Leaf[], at: number): Scale | undefined {
  const [exponent, unit] = [leaves[at], leaves[at + 1]];
  if (exponent?.kind !== 'number' || exponent.type !== 15 || unit?.kind !== 'number' || unit.type !== 22)
    return undefined;
  return { exponent: Number(exponent.value), unit: UNITS[Number(unit.value)] ?? '' };
}

function textOf(leaf: Leaf, scale: Scale | undefined): string {
  if (leaf.kind === 'other') return leaf.text;
  if (leaf.kind === 'text') return bytesText(leaf.bytes);
  const number = decimal(leaf.value, scale?.exponent ?? 0);
  return scale && scale.unit !== '' ? `${number}*${scale.unit}` : number;
}

/** A whole number times a power of ten, in decimals: all its digits are kept. */
function decimal(value: bigint, exponent: number): string {
  if (exponent >= 0) return String(value * 10n ** BigInt(exponent));
  const digits = String(value < 0n ? -value : value).padStart(1 - exponent, '0');
  return `${value < 0n ? '-' : ''}${digits.slice(0, exponent)}.${digits.slice(exponent)}`;
}

/** A date as DSMR writes it (210719151135S), printable text, or else hexadecimal digits. */
function bytesText(bytes: Buffer): string {
  if (bytes.length === 12 && isDate(bytes)) {
    const [month = 0, day = 0, , hour = 0, minute = 0, second = 0] = bytes.subarray(2);
    const parts = [bytes.readUInt16BE(0) % 100, month, day, hour, minute, second];
    const summer = ((bytes[11] ?? 0) & 0x80) !== 0;
    return `${parts.map((part) => String(part).padStart(2, '0')).join('')}${summer ? 'S' : 'W'}`;
  }
  const text = bytes.toString('latin1');
  return /^[\x20-\x27\x2a-\x7e]*$/.test(text) ? text : bytes.toString('hex');
}

/** A date-time of the Blue Book: year, month, day, weekday, hour, minute, second, hundredths, deviation, status. */
function isDate(bytes: Buffer): boolean {
  const [month = 0, day = 0, , hour = 0, minute = 0, second = 0] = bytes.subarray(2);
  const year = bytes.readUInt16BE(0);
  return year >= 1970 && year < 2170 && month <= 12 && day <= 31 && hour < 24 && minute < 60 && second < 60;
}
