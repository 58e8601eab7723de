import { readFileSync, statSync } from 'node:fs';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import type { Libc } from '../../src/linux/libc.ts';

/**
 * The second interface of the GPIO character device (Linux ≥ 5.10, <linux/gpio.h>). Its structures are the same on 32 and 64 bit.
 * Every Linux that Node.js runs on is little-endian except s390x, which has no GPIO.
 */

/** The system calls that lines need. */
export type LineLibc = Pick<Libc, 'ioctl' | 'pipe' | 'replace' | 'setNonBlocking'>;

/** Request numbers: _IOR/_IOWR(0xB4, number, structure). */
export const CHIP_INFO = 0x8044_b401;
export const LINE_INFO = 0xc100_b405;
export const GET_LINE = 0xc250_b407;
export const SET_CONFIG = 0xc110_b40d;
export const GET_VALUES = 0xc010_b40e;
export const SET_VALUES = 0xc010_b40f;

/** Bits of gpio_v2_line_flag. All used here are below bit 32. */
export const flags = {
  used: 1 << 0,
  input: 1 << 2,
  output: 1 << 3,
  risingEdge: 1 << 4,
  fallingEdge: 1 << 5,
  openDrain: 1 << 6,
  openSource: 1 << 7,
  pullUp: 1 << 8,
  pullDown: 1 << 9,
  biasDisabled: 1 << 10,
  realtimeClock: 1 << 11,
} as const;

/** Flags of an output while it is an input. */
export function inputFlags(output: number): number {
  return flags.input | (output & (flags.pullUp | flags.pullDown | flags.biasDisabled));
}

/** Most lines of one request. */
export const MAX_LINES = 64;
/** Most events that the kernel keeps for a request. */
export const MAX_EVENTS = 1024;
/** Size of gpio_v2_line_event. */
export const EVENT_BYTES = 48;

const NAME_BYTES = 32;
const ATTRIBUTE_FLAGS = 1;
const ATTRIBUTE_OUTPUT_VALUES = 2;
const ATTRIBUTE_DEBOUNCE = 3;

export interface ChipInfo {
  readonly name: string;
  readonly label: string;
  readonly lines: number;
}

/** struct gpiochip_info: name, label, lines. */
export function chipInfoBuffer(): Buffer {
  return Buffer.alloc(68);
}

export function decodeChipInfo(buffer: Buffer): ChipInfo {
  return { name: text(buffer, 0), label: text(buffer, NAME_BYTES), lines: buffer.readUInt32LE(64) };
}

export interface LineInfo {
  readonly name: string;
  /** Name that the holder has given; may be empty although the line is held. */
  readonly consumer: string;
  readonly flags: number;
}

/** struct gpio_v2_line_info, asking about one line. */
export function lineInfoBuffer(offset: number): Buffer {
  const buffer = Buffer.alloc(256);
  buffer.writeUInt32LE(offset, 64);
  return buffer;
}

export function decodeLineInfo(buffer: Buffer): LineInfo {
  return { name: text(buffer, 0), consumer: text(buffer, NAME_BYTES), flags: buffer.readUInt32LE(72) };
}

/** Configuration of lines. Bit n of a mask means the n-th line of the request. */
export interface LineConfig {
  readonly flags: number;
  /** Levels of outputs, set in the same step that makes them outputs. */
  readonly values?: bigint;
  readonly debounceUs?: number;
  /** Some of the lines have other flags. */
  readonly except?: { readonly flags: number; readonly mask: bigint };
}

/** struct gpio_v2_line_request. */
export function lineRequest(offsets: readonly number[], consumer: string, config: LineConfig): Buffer {
  const buffer = Buffer.alloc(592);
  for (const [at, offset] of offsets.entries()) buffer.writeUInt32LE(offset, at * 4);
  buffer.write(consumer.slice(0, NAME_BYTES - 1), 256, 'latin1');
  writeConfig(buffer, 288, config, offsets.length);
  buffer.writeUInt32LE(offsets.length, 560);
  buffer.writeUInt32LE(MAX_EVENTS, 564);
  return buffer;
}

/** The descriptor the kernel put into a request it has granted. */
export function requestedFd(buffer: Buffer): number {
  return buffer.readInt32LE(588);
}

/** struct gpio_v2_line_config, for lines already held. */
export function lineConfig(lines: number, config: LineConfig): Buffer {
  const buffer = Buffer.alloc(272);
  writeConfig(buffer, 0, config, lines);
  return buffer;
}

/** struct gpio_v2_line_values. */
export function lineValues(bits: bigint, mask: bigint): Buffer {
  const buffer = Buffer.alloc(16);
  buffer.writeBigUInt64LE(bits, 0);
  buffer.writeBigUInt64LE(mask, 8);
  return buffer;
}

/** The mask of the first `lines` lines of a request. */
export function allLines(lines: number): bigint {
  return (1n << BigInt(lines)) - 1n;
}

function writeConfig(buffer: Buffer, at: number, config: LineConfig, lines: number): void {
  const all = allLines(lines);
  buffer.writeBigUInt64LE(BigInt(config.flags), at);
  let attributes = 0;
  const attribute = (id: number, value: bigint, mask = all) => {
    const start = at + 32 + attributes * 24;
    buffer.writeUInt32LE(id, start);
    buffer.writeBigUInt64LE(value, start + 8);
    buffer.writeBigUInt64LE(mask, start + 16);
    attributes++;
  };
  if (config.except) attribute(ATTRIBUTE_FLAGS, BigInt(config.except.flags), config.except.mask);
  if (config.values !== undefined) attribute(ATTRIBUTE_OUTPUT_VALUES, config.values);
  if (config.debounceUs) attribute(ATTRIBUTE_DEBOUNCE, BigInt(config.debounceUs));
  buffer.writeUInt32LE(attributes, at + 8);
}

function text(buffer: Buffer, at: number): string {
  const bytes = buffer.subarray(at, at + NAME_BYTES);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? NAME_BYTES : end);
}

/** Group of GPIO devices on Raspberry Pi OS and by most udev rules. */
const USUAL_GROUP = 'gpio';

/**
 * Converts an error of a system call to a DcsError. `what` names the line or chip; `path` is the file whose group the user must
 * be in.
 */
export function kernelError(thrown: unknown, what: string, path: string): DcsError {
  if (thrown instanceof DcsError) return thrown;
  const code = systemCode(thrown);
  const cause = { cause: thrown };
  switch (code) {
    case 'EBUSY':
      return new DcsError('BUSY', `${what} is held by another process`, cause);
    case 'EACCES':
    case 'EPERM':
      return noPermission(what, path, thrown);
    case 'ENODEV':
    case 'ENXIO':
      return new DcsError('PORT_DOWN', `${what} is gone`, cause);
    case 'EINVAL':
      return new DcsError('NOT_SUPPORTED', `${what}: the chip refuses these settings`, cause);
    default:
      return new DcsError('PORT_DOWN', `${what}: ${messageOf(thrown)}`, cause);
  }
}

function noPermission(what: string, path: string, thrown: unknown): DcsError {
  const group = groupOf(path);
  return new DcsError('NO_PERMISSION', `${what}: this user may not use ${path}; it needs the group ${group}`, {
    expected: `a member of the group ${group} (sudo usermod -aG ${group} USER, then log in again)`,
    cause: thrown,
  });
}

/** Name of a file's group; `gpio` when the group is root, because a udev rule is missing then. */
function groupOf(path: string): string {
  try {
    const { gid } = statSync(path);
    if (gid === 0) return USUAL_GROUP;
    const entry = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find(([, , id]) => Number(id) === gid);
    return entry?.[0] ?? String(gid);
  } catch {
    // The file or /etc/group cannot be read: the usual name is the best advice.
    return USUAL_GROUP;
  }
}
