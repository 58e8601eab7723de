import type { Span } from '../../../src/driver/kit/block-planner.ts';

/** The four tables of a Modbus device. */
export type Table = 'coil' | 'discrete' | 'holding' | 'input';

/** A run of registers, coils or discrete inputs of one unit. Addresses are those on the wire, counted from 0. */
export interface TableSpan extends Span {
  readonly table: Table;
  /** Bytes of a register; 2 when `undefined`. */
  readonly registerBytes?: number | undefined;
}

/** A run of registers. */
export interface Piece {
  readonly first: number;
  readonly count: number;
}

/**
 * A read. `pieces`: only these of its registers are needed, in this order; the others may be read along. On the wire it is one
 * request all the same; see ReadAdapter.
 */
export type ReadRequest = { readonly kind: 'read'; readonly pieces?: readonly Piece[] } & TableSpan;

/** All requests of a master. `data` of registers is big-endian, two bytes a register, as on the wire. */
export type Request =
  | ReadRequest
  | {
      readonly kind: 'write-coil';
      readonly unit: number;
      readonly at: number;
      readonly on: boolean;
      /** Sent in place of 0xff00 (on) or 0 (off), to devices that take other orders with function 5. */
      readonly word?: number;
    }
  | { readonly kind: 'write-register'; readonly unit: number; readonly at: number; readonly word: number }
  | { readonly kind: 'write-coils'; readonly unit: number; readonly first: number; readonly bits: readonly boolean[] }
  | {
      readonly kind: 'write-registers';
      readonly unit: number;
      readonly first: number;
      readonly data: Buffer;
      readonly registerBytes?: number | undefined;
    }
  | {
      readonly kind: 'mask-register';
      readonly unit: number;
      readonly at: number;
      readonly and: number;
      readonly or: number;
    }
  | {
      readonly kind: 'read-write-registers';
      readonly unit: number;
      readonly first: number;
      readonly count: number;
      readonly writeFirst: number;
      readonly data: Buffer;
    }
  | { readonly kind: 'identify'; readonly unit: number; readonly level: 1 | 2 | 3 | 4; readonly object: number }
  | { readonly kind: 'raw'; readonly unit: number; readonly fn: number; readonly data: Buffer };

/** Most items of one read (Modbus application protocol 1.1b3, 6.1–6.4). */
export const MAX_READ_REGISTERS = 125;
export const MAX_READ_BITS = 2000;
export const MAX_WRITE_REGISTERS = 123;
export const MAX_WRITE_BITS = 1968;

/** Most data bytes of a read of registers. */
const MAX_READ_BYTES = 2 * MAX_READ_REGISTERS;

/** Bytes of a register of a span or a write. */
export function registerBytes(of: { readonly registerBytes?: number | undefined }): number {
  return of.registerBytes ?? 2;
}

/** Most items of one read of a table. */
export function maxReadItems(span: Pick<TableSpan, 'table' | 'registerBytes'>): number {
  return isBitTable(span.table) ? MAX_READ_BITS : Math.floor(MAX_READ_BYTES / registerBytes(span));
}

/** Number of data bytes in the reply to a read. */
export function readBytes(span: Pick<TableSpan, 'table' | 'count' | 'registerBytes'>): number {
  return isBitTable(span.table) ? Math.ceil(span.count / 8) : registerBytes(span) * span.count;
}

const READ_FUNCTION = { coil: 1, discrete: 2, holding: 3, input: 4 } as const;

export function isBitTable(table: Table): boolean {
  return table === 'coil' || table === 'discrete';
}

/** The function code on the wire. */
export function functionOf(request: Request): number {
  switch (request.kind) {
    case 'read':
      return READ_FUNCTION[request.table];
    case 'write-coil':
      return 5;
    case 'write-register':
      return 6;
    case 'write-coils':
      return 15;
    case 'write-registers':
      return 16;
    case 'mask-register':
      return 22;
    case 'read-write-registers':
      return 23;
    case 'identify':
      return 43;
    case 'raw':
      return request.fn;
  }
}

/** Returns whether the request may change the device. */
export function isWrite(request: Request): boolean {
  return request.kind !== 'read' && request.kind !== 'identify' && request.kind !== 'raw';
}

/** Text of a request for messages: `unit 1 holding 10..12`. */
export function describeRequest(request: Request): string {
  const unit = `unit ${request.unit}`;
  switch (request.kind) {
    case 'read':
      return `${unit} ${request.table} ${range(request.first, request.count)}`;
    case 'write-coil':
      return `${unit} coil ${request.at} (write)`;
    case 'write-coils':
      return `${unit} coil ${range(request.first, request.bits.length)} (write)`;
    case 'write-register':
    case 'mask-register':
      return `${unit} holding ${request.at} (write)`;
    case 'write-registers':
      return `${unit} holding ${range(request.first, request.data.length / registerBytes(request))} (write)`;
    case 'read-write-registers':
      return `${unit} holding ${range(request.first, request.count)} (read and write)`;
    case 'identify':
      return `${unit} identification`;
    case 'raw':
      return `${unit} function ${request.fn}`;
  }
}

function range(first: number, count: number): string {
  return count === 1 ? String(first) : `${first}..${first + count - 1}`;
}

/** MEI type of 'read device identification' within function 43. */
export const MEI_IDENTIFY = 14;

/** Encodes the protocol data unit: function code and fields, without unit, checksum or header. */
export function encodePdu(request: Request): Buffer {
  switch (request.kind) {
    case 'read':
      return fields(functionOf(request), request.first, request.count);
    case 'write-coil':
      return fields(5, request.at, request.word ?? (request.on ? 0xff00 : 0x0000));
    case 'write-register':
      return fields(6, request.at, request.word);
    case 'write-coils': {
      const data = packBits(request.bits);
      return Buffer.concat([fields(15, request.first, request.bits.length), Buffer.from([data.length]), data]);
    }
    case 'write-registers':
      return Buffer.concat([
        fields(16, request.first, request.data.length / registerBytes(request)),
        Buffer.from([request.data.length]),
        request.data,
      ]);
    case 'mask-register':
      return fields(22, request.at, request.and, request.or);
    case 'read-write-registers':
      return Buffer.concat([
        fields(23, request.first, request.count, request.writeFirst, request.data.length / 2),
        Buffer.from([request.data.length]),
        request.data,
      ]);
    case 'identify':
      return Buffer.from([43, MEI_IDENTIFY, request.level, request.object]);
    case 'raw':
      return Buffer.concat([Buffer.from([request.fn]), request.data]);
  }
}

function fields(fn: number, ...words: number[]): Buffer {
  const pdu = Buffer.allocUnsafe(1 + 2 * words.length);
  pdu[0] = fn;
  words.forEach((word, index) => {
    pdu.writeUInt16BE(word, 1 + 2 * index);
  });
  return pdu;
}

/** Packs bits as Modbus does: the first in the lowest bit of the first byte, the last byte filled with zeros. */
export function packBits(bits: readonly boolean[]): Buffer {
  const data = Buffer.alloc(Math.ceil(bits.length / 8));
  bits.forEach((bit, index) => {
    if (bit) data[index >> 3] = (data[index >> 3] ?? 0) | (1 << (index & 7));
  });
  return data;
}

/** Bit `index` of packed bits. */
export function bitAt(data: Buffer, index: number): boolean {
  return (((data[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
}
