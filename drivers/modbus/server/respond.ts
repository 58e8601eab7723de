import {
  bitAt,
  MAX_READ_BITS,
  MAX_READ_REGISTERS,
  MAX_WRITE_BITS,
  MAX_WRITE_REGISTERS,
  MEI_IDENTIFY,
  packBits,
} from '../protocol/request.ts';

/** The four tables of each unit of a slave. Every method may throw a SlaveException, or reject with one. */
export interface Store {
  readBits(unit: number, table: 'coil' | 'discrete', first: number, count: number): Answer<readonly boolean[]>;
  /** Big-endian registers. */
  readRegisters(unit: number, table: 'holding' | 'input', first: number, count: number): Answer<Buffer>;
  writeBits(unit: number, first: number, bits: readonly boolean[]): Answer<void>;
  writeRegisters(unit: number, first: number, data: Buffer): Answer<void>;
  /** Bytes of a register; 2 when absent. */
  registerBytes?(unit: number, table: 'holding', first: number): number;
  /** Texts of 'read device identification': vendor, product code, revision. */
  identity?(unit: number): readonly string[];
}

type Answer<T> = T | Promise<T>;

/** Exception codes of a slave (Modbus application protocol 1.1b3, section 7). */
export const ILLEGAL_FUNCTION = 1;
export const ILLEGAL_ADDRESS = 2;
export const ILLEGAL_VALUE = 3;
export const DEVICE_FAILURE = 4;

/** Refusal of a request. `exception` is the code on the wire. */
export class SlaveException extends Error {
  readonly exception: number;

  constructor(exception: number) {
    super(`exception ${exception}`);
    this.exception = exception;
  }
}

const MAX_READ_WRITE_REGISTERS = 121;

/** Replies to a protocol data unit: functions 1–6, 15, 16, 22, 23, 43/14. Never rejects, because a refusal is a reply. */
export async function respondTo(store: Store, unit: number, pdu: Buffer): Promise<Buffer> {
  try {
    return await execute(store, unit, pdu);
  } catch (error) {
    const exception = error instanceof SlaveException ? error.exception : DEVICE_FAILURE;
    return Buffer.from([(pdu[0] ?? 0) | 0x80, exception]);
  }
}

async function execute(store: Store, unit: number, pdu: Buffer): Promise<Buffer> {
  const fn = pdu[0] ?? 0;
  switch (fn) {
    case 1:
    case 2: {
      const { first, count } = range(pdu, 5, MAX_READ_BITS);
      return counted(fn, packBits(await store.readBits(unit, fn === 1 ? 'coil' : 'discrete', first, count)));
    }
    case 3:
    case 4: {
      const { first, count } = range(pdu, 5, MAX_READ_REGISTERS);
      const data = await store.readRegisters(unit, fn === 3 ? 'holding' : 'input', first, count);
      if (data.length > 2 * MAX_READ_REGISTERS) throw new SlaveException(ILLEGAL_VALUE);
      return counted(fn, data);
    }
    case 5:
      return writeCoil(store, unit, pdu);
    case 6:
      if (pdu.length !== 5) throw new SlaveException(ILLEGAL_VALUE);
      await store.writeRegisters(unit, word(pdu, 1), pdu.subarray(3));
      return pdu;
    case 15:
      return writeCoils(store, unit, pdu);
    case 16:
      return writeRegisters(store, unit, pdu);
    case 22:
      return maskWrite(store, unit, pdu);
    case 23:
      return readWrite(store, unit, pdu);
    case 43:
      return identification(store, unit, pdu);
    default:
      throw new SlaveException(ILLEGAL_FUNCTION);
  }
}

async function writeCoil(store: Store, unit: number, pdu: Buffer): Promise<Buffer> {
  const [at, value] = [word(pdu, 1), word(pdu, 3)];
  if (pdu.length !== 5 || (value !== 0 && value !== 0xff00)) throw new SlaveException(ILLEGAL_VALUE);
  await store.writeBits(unit, at, [value !== 0]);
  return pdu;
}

async function writeCoils(store: Store, unit: number, pdu: Buffer): Promise<Buffer> {
  const { first, count } = range(pdu, 6 + Math.ceil(word(pdu, 3) / 8), MAX_WRITE_BITS);
  if (pdu[5] !== Math.ceil(count / 8)) throw new SlaveException(ILLEGAL_VALUE);
  const bits = Array.from({ length: count }, (_, index) => bitAt(pdu.subarray(6), index));
  await store.writeBits(unit, first, bits);
  return pdu.subarray(0, 5);
}

async function writeRegisters(store: Store, unit: number, pdu: Buffer): Promise<Buffer> {
  const bytes = store.registerBytes?.(unit, 'holding', word(pdu, 1)) ?? 2;
  const { first, count } = range(pdu, 6 + bytes * word(pdu, 3), MAX_WRITE_REGISTERS);
  if (pdu[5] !== bytes * count) throw new SlaveException(ILLEGAL_VALUE);
  await store.writeRegisters(unit, first, pdu.subarray(6));
  return pdu.subarray(0, 5);
}

async function maskWrite(store: Store, unit: number, pdu: Buffer): Promise<Buffer> {
  if (pdu.length !== 7) throw new SlaveException(ILLEGAL_VALUE);
  const [at, and, or] = [word(pdu, 1), word(pdu, 3), word(pdu, 5)];
  const present = (await store.readRegisters(unit, 'holding', at, 1)).readUInt16BE(0);
  const data = Buffer.alloc(2);
  data.writeUInt16BE((present & and) | (or & ~and & 0xffff), 0);
  await store.writeRegisters(unit, at, data);
  return pdu;
}

/** Writes before it reads. Does not write when the registers to read do not exist. */
async function readWrite(store: Store, unit: number, pdu: Buffer): Promise<Buffer> {
  const { first, count } = range(pdu, 10 + 2 * word(pdu, 7), MAX_READ_REGISTERS);
  const [writeFirst, writeCount] = [word(pdu, 5), word(pdu, 7)];
  if (writeCount < 1 || writeCount > MAX_READ_WRITE_REGISTERS || pdu[9] !== 2 * writeCount)
    throw new SlaveException(ILLEGAL_VALUE);
  try {
    await store.readRegisters(unit, 'holding', first, count);
  } catch (error) {
    // A value that is only not good yet may become good by the write.
    if (error instanceof SlaveException && error.exception === ILLEGAL_ADDRESS) throw error;
  }
  await store.writeRegisters(unit, writeFirst, pdu.subarray(10));
  return counted(23, await store.readRegisters(unit, 'holding', first, count));
}

function identification(store: Store, unit: number, pdu: Buffer): Buffer {
  const texts = store.identity?.(unit);
  if (!texts || pdu[1] !== MEI_IDENTIFY) throw new SlaveException(ILLEGAL_FUNCTION);
  const [level, object] = [pdu[2] ?? 0, pdu[3] ?? 0];
  if (level < 1 || level > 4) throw new SlaveException(ILLEGAL_VALUE);
  const chosen = texts.map((text, id) => ({ id, text: Buffer.from(text, 'latin1').subarray(0, 64) }));
  const sent = level === 4 ? chosen.filter(({ id }) => id === object) : chosen.filter(({ id }) => id >= object);
  if (sent.length === 0) throw new SlaveException(ILLEGAL_ADDRESS);
  const objects = sent.flatMap(({ id, text }) => [Buffer.from([id, text.length]), text]);
  return Buffer.concat([Buffer.from([43, MEI_IDENTIFY, level, 0x81, 0, 0, sent.length]), ...objects]);
}

function range(pdu: Buffer, length: number, most: number): { first: number; count: number } {
  const [first, count] = [word(pdu, 1), word(pdu, 3)];
  if (pdu.length !== length || count < 1 || count > most) throw new SlaveException(ILLEGAL_VALUE);
  if (first + count > 0x10000) throw new SlaveException(ILLEGAL_ADDRESS);
  return { first, count };
}

function word(pdu: Buffer, at: number): number {
  if (pdu.length < at + 2) throw new SlaveException(ILLEGAL_VALUE);
  return pdu.readUInt16BE(at);
}

function counted(fn: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([fn, data.length]), data]);
}
