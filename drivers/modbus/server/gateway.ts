import { toDcsError } from '../../../src/errors/errors.ts';
import { ModbusException } from '../protocol/exception.ts';
import { bitAt, encodePdu, type Request, type Table } from '../protocol/request.ts';
import { ILLEGAL_FUNCTION } from './respond.ts';
import type { Responder } from './tcp-server.ts';

/** Exceptions of the gateway itself (Modbus application protocol 1.1b3, section 7). */
const NO_PATH = 10;
const NO_ANSWER = 11;

/**
 * Lets several masters share a bus. `transact` puts each request into the one queue of the bus and resolves with the data
 * of its matched reply. Exceptions of the device are passed on; no answer becomes exception 11, a bus that is down exception
 * 10. Unknown functions are passed on unchanged.
 */
export function gatewayResponder(transact: (request: Request) => Promise<Buffer>): Responder {
  return async (unit, pdu) => {
    const request = parseRequest(unit, pdu);
    const fn = pdu[0] ?? 0;
    if (!request) return Buffer.from([fn | 0x80, ILLEGAL_FUNCTION]);
    try {
      return encodeReply(request, pdu, await transact(request));
    } catch (error) {
      if (error instanceof ModbusException) return Buffer.from([fn | 0x80, error.exception]);
      return Buffer.from([fn | 0x80, toDcsError(error).code === 'PORT_DOWN' ? NO_PATH : NO_ANSWER]);
    }
  };
}

/** The reply's protocol data unit, encoded again from its matched fields. */
function encodeReply(request: Request, pdu: Buffer, data: Buffer): Buffer {
  if (request.kind === 'read' || request.kind === 'read-write-registers')
    return Buffer.concat([Buffer.from([pdu[0] ?? 0, data.length]), data]);
  if (request.kind === 'raw') return Buffer.concat([pdu.subarray(0, 1), data]);
  const echo = encodePdu(request);
  return request.kind === 'write-coils' || request.kind === 'write-registers' ? echo.subarray(0, 5) : echo;
}

/** Parses a request's protocol data unit. `undefined` when its fields contradict each other, or it is no request. */
export function parseRequest(unit: number, pdu: Buffer): Request | undefined {
  const fn = pdu[0];
  if (fn === undefined || fn === 0 || fn >= 0x80) return undefined;
  const parse = PARSERS[fn];
  return parse
    ? parse(unit, pdu, (index) => pdu.readUInt16BE(1 + 2 * index))
    : { kind: 'raw', unit, fn, data: pdu.subarray(1) };
}

/** Parses the fields of one function; `word` gives the 16-bit fields after the function code. */
type Parser = (unit: number, pdu: Buffer, word: (index: number) => number) => Request | undefined;

const parseRead =
  (table: Table): Parser =>
  (unit, pdu, word) =>
    pdu.length === 5 ? { kind: 'read', unit, table, first: word(0), count: word(1) } : undefined;

const PARSERS: Readonly<Partial<Record<number, Parser>>> = {
  1: parseRead('coil'),
  2: parseRead('discrete'),
  3: parseRead('holding'),
  4: parseRead('input'),
  5: (unit, pdu, word) =>
    pdu.length === 5 && (word(1) === 0 || word(1) === 0xff00)
      ? { kind: 'write-coil', unit, at: word(0), on: word(1) !== 0 }
      : undefined,
  6: (unit, pdu, word) => (pdu.length === 5 ? { kind: 'write-register', unit, at: word(0), word: word(1) } : undefined),
  15: (unit, pdu, word) => {
    if (!hasCounted(pdu, 5) || pdu[5] !== Math.ceil(word(1) / 8)) return undefined;
    const bits = Array.from({ length: word(1) }, (_, bit) => bitAt(pdu.subarray(6), bit));
    return { kind: 'write-coils', unit, first: word(0), bits };
  },
  16: (unit, pdu, word) =>
    hasCounted(pdu, 5) && pdu[5] === 2 * word(1)
      ? { kind: 'write-registers', unit, first: word(0), data: pdu.subarray(6) }
      : undefined,
  22: (unit, pdu, word) =>
    pdu.length === 7 ? { kind: 'mask-register', unit, at: word(0), and: word(1), or: word(2) } : undefined,
  23: (unit, pdu, word) => {
    if (!hasCounted(pdu, 9) || pdu[9] !== 2 * word(3)) return undefined;
    const [first, count, writeFirst] = [word(0), word(1), word(2)];
    return { kind: 'read-write-registers', unit, first, count, writeFirst, data: pdu.subarray(10) };
  },
};

/** Returns whether byte `head` is the number of bytes after it. */
function hasCounted(pdu: Buffer, head: number): boolean {
  return pdu.length > head && pdu.length === head + 1 + (pdu[head] ?? 0);
}
