import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { ChipAccess } from './bus.ts';

/** Encodings of a number in registers. */
export const registerTypes = ['u8', 'i8', 'u16be', 'u16le', 'i16be', 'i16le', 'u24be', 'u32be', 'u32le'] as const;
export type RegisterType = (typeof registerTypes)[number];

/** Where a value is in a chip's registers. */
export interface RegisterLocation {
  readonly register: number | undefined;
  readonly writeRegister: number | undefined;
  readonly type: RegisterType;
  /** The value's lowest bit within the register. */
  readonly shift: number;
  /** Number of bits of the value; `undefined`: all from `shift` on. */
  readonly width: number | undefined;
  readonly bit: number | undefined;
  /** Number written for 0 when the chip has a bit for 'off'. */
  readonly zero: number | undefined;
  /** Bits of the register that are 0 in every value; a wire that is stuck at 1, and another chip, have them. */
  readonly unused: number;
  /** Numbers with which the chip says that it has no value. */
  readonly invalid: readonly number[];
}

/** Returns the number of bytes of a type. */
export function sizeOf(type: RegisterType): number {
  return Number(type.replace(/\D/g, '')) / 8;
}

/** Decodes a number from register bytes. */
export function decode(bytes: Buffer, type: RegisterType): number {
  const size = sizeOf(type);
  if (size === 1) return type === 'i8' ? bytes.readInt8() : bytes.readUInt8();
  const little = type.endsWith('le');
  if (type.startsWith('i')) return little ? bytes.readIntLE(0, size) : bytes.readIntBE(0, size);
  return little ? bytes.readUIntLE(0, size) : bytes.readUIntBE(0, size);
}

/** Encodes a number, rounded to the nearest whole one. Throws OUT_OF_RANGE when the type cannot hold it. */
export function encode(wanted: number, type: RegisterType): number[] {
  const size = sizeOf(type);
  const signed = type.startsWith('i');
  const high = signed ? 2 ** (8 * size - 1) - 1 : 2 ** (8 * size) - 1;
  const low = signed ? -high - 1 : 0;
  const value = Math.round(wanted);
  if (!(value >= low && value <= high)) {
    throw new DcsError('OUT_OF_RANGE', `${wanted} does not fit ${type}`, {
      found: wanted,
      expected: `${low} to ${high}`,
    });
  }
  const bytes = Buffer.alloc(size);
  const raw = value < 0 ? value + 2 ** (8 * size) : value;
  if (type.endsWith('le')) bytes.writeUIntLE(raw, 0, size);
  else bytes.writeUIntBE(raw, 0, size);
  return [...bytes];
}

/** The byte last sent to a chip without registers: reading the chip gives the levels of its pins, not what it drives. */
export class OutputLatch {
  #lastSent: number | undefined;
  /** Bits of inputs: they must be 1, because 0 makes the chip pull its pin low. */
  readonly #inputs: number;

  constructor(inputs: number) {
    this.#inputs = inputs;
  }

  /** Returns the byte as it is driven now. */
  async present(levels: () => Promise<number>): Promise<number> {
    return this.#lastSent ?? (await levels()) | this.#inputs;
  }

  sent(value: number): void {
    this.#lastSent = value;
  }

  /** The chip lost its power, so its outputs are unknown. */
  forget(): void {
    this.#lastSent = undefined;
  }
}

/** Reads registers once each, although several pins may be in one. */
export class RegisterReader {
  readonly #access: ChipAccess;
  /** Failures too: pins that share a register fail together. */
  readonly #values = new Map<string, Promise<number>>();

  constructor(access: ChipAccess) {
    this.#access = access;
  }

  /** The value; `undefined` when the chip says that it has none. */
  async read({ register, type, shift, width, bit, unused, invalid }: RegisterLocation): Promise<RawValue | undefined> {
    const name = `${register} ${type}`;
    const reading = this.#values.get(name) ?? readRegister(this.#access, register, type);
    this.#values.set(name, reading);
    const held = await reading;
    if ((held & unused) !== 0) return undefined;
    if (bit !== undefined) return ((held >> bit) & 1) === 1;
    const shifted = Math.floor(held / 2 ** shift);
    const value = width === undefined ? shifted : shifted % 2 ** width;
    return invalid.includes(value) ? undefined : value;
  }
}

async function readRegister(access: ChipAccess, register: number | undefined, type: RegisterType): Promise<number> {
  const size = sizeOf(type);
  return decode(register === undefined ? await access.receive(size) : await access.read(register, size), type);
}

/** The number to write for a value. Throws OUT_OF_RANGE when the location cannot hold it. */
function numberFor({ type, width, zero, bit }: RegisterLocation, wanted: RawValue): number {
  if (bit !== undefined) return wanted === true ? 1 << bit : 0;
  const value = Math.round(Number(wanted));
  if (zero !== undefined && value === 0) return zero;
  const most = width === undefined ? Number.POSITIVE_INFINITY : 2 ** width - 1;
  if (value > most) {
    throw new DcsError('OUT_OF_RANGE', `${wanted} does not fit ${width} bits`, {
      found: wanted,
      expected: `0 to ${most}`,
    });
  }
  encode(value, type);
  return value;
}

/** Bits of a register that a write of the value sets; the others belong to something else. `undefined`: all of them. */
function ownBits({ type, width, zero, bit, unused }: RegisterLocation): number | undefined {
  if (bit !== undefined) return 1 << bit;
  if (width === undefined) return undefined;
  const all = 2 ** (8 * sizeOf(type));
  const own = ((2 ** width - 1) | (zero ?? 0) | unused) >>> 0;
  return own % all === all - 1 ? undefined : own;
}

export async function writeLocation(
  access: ChipAccess,
  place: RegisterLocation,
  value: RawValue,
  latch: OutputLatch,
): Promise<void> {
  const { writeRegister, type, shift } = place;
  if (shift > 0) throw new DcsError('NOT_SUPPORTED', 'a shifted value cannot be written');
  let next = numberFor(place, value);
  const own = ownBits(place);
  if (own !== undefined) {
    const levels = () => readRegister(access, writeRegister, type);
    const present = writeRegister === undefined ? await latch.present(levels) : await levels();
    const merged = (present & ~own) | next;
    next = type.startsWith('i') ? merged : merged >>> 0;
  }
  const bytes = encode(next, type);
  if (writeRegister !== undefined) {
    await access.write(writeRegister, bytes);
    return;
  }
  await access.send(bytes);
  latch.sent(next);
}

/**
 * Sets registers as the pins of a chip want them: each register once, in the order in which it is first named. Bits that no pin
 * names stay as they are.
 */
export async function setRegisters(
  access: ChipAccess,
  wanted: readonly { readonly register: number; readonly value: number; readonly mask: number }[],
): Promise<void> {
  const registers = new Map<number, { value: number; mask: number }>();
  for (const { register, value, mask } of wanted) {
    const before = registers.get(register) ?? { value: 0, mask: 0 };
    registers.set(register, { value: (before.value & ~mask) | (value & mask), mask: before.mask | mask });
  }
  for (const [register, { value, mask }] of registers) {
    const kept = mask === 0xff ? 0 : (await access.read(register, 1)).readUInt8() & ~mask;
    await access.write(register, [kept | value]);
  }
}
