/** The four tables of a Modbus device. */
export type Table = 'coil' | 'discrete' | 'holding' | 'input';

/** A run of one table of one unit. Addresses are those of the wire: 0-based. */
export interface Span {
  readonly unit: number;
  readonly table: Table;
  readonly first: number;
  /** Registers, or bits for coils and discrete inputs. */
  readonly count: number;
}

/** Everything a master can ask. `data` of registers is big-endian, two bytes a register, as on the wire. */
export type Request =
  | ({ readonly kind: 'read' } & Span)
  | { readonly kind: 'write-coil'; readonly unit: number; readonly at: number; readonly on: boolean }
  | { readonly kind: 'write-register'; readonly unit: number; readonly at: number; readonly word: number }
  | { readonly kind: 'write-coils'; readonly unit: number; readonly first: number; readonly bits: readonly boolean[] }
  | { readonly kind: 'write-registers'; readonly unit: number; readonly first: number; readonly data: Buffer }
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

/** Most items one read may ask for (Modbus application protocol 1.1b3, 6.1–6.4). */
export const MAX_READ_REGISTERS = 125;
export const MAX_READ_BITS = 2000;
export const MAX_WRITE_REGISTERS = 123;
export const MAX_WRITE_BITS = 1968;

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

/** Whether the request may change the device. */
export function isWrite(request: Request): boolean {
  return request.kind !== 'read' && request.kind !== 'identify' && request.kind !== 'raw';
}

/** What is asked, as a person reads it in a message: `unit 1 holding 10..12`. */
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
      return `${unit} holding ${range(request.first, request.data.length / 2)} (write)`;
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
