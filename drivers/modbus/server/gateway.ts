import { toDcsError } from '../../../src/errors/errors.ts';
import { ModbusException } from '../protocol/exception.ts';
import { bitAt, encodePdu, type Request } from '../protocol/request.ts';
import { ILLEGAL_FUNCTION } from './respond.ts';
import type { Responder } from './tcp-server.ts';

/** The gateway's own exceptions (Modbus application protocol 1.1b3, section 7). */
const NO_PATH = 10;
const NO_ANSWER = 11;

/**
 * Lets masters share a bus that takes one only: `ask` puts each request into the bus's one queue and gives the data of
 * its reply, fully matched as for our own. The device's refusals are passed on; its silence is exception 11, a bus that
 * is down exception 10. Functions that the driver does not know are passed on as they are.
 */
export function gatewayResponder(ask: (request: Request) => Promise<Buffer>): Responder {
  return async (unit, pdu) => {
    const request = parseRequest(unit, pdu);
    const fn = pdu[0] ?? 0;
    if (!request) return Buffer.from([fn | 0x80, ILLEGAL_FUNCTION]);
    try {
      return encodeReply(request, pdu, await ask(request));
    } catch (error) {
      if (error instanceof ModbusException) return Buffer.from([fn | 0x80, error.exception]);
      return Buffer.from([fn | 0x80, toDcsError(error).code === 'PORT_DOWN' ? NO_PATH : NO_ANSWER]);
    }
  };
}

/** The reply's protocol data unit, made again from what was found right in it. */
function encodeReply(request: Request, pdu: Buffer, data: Buffer): Buffer {
  if (request.kind === 'read' || request.kind === 'read-write-registers')
    return Buffer.concat([Buffer.from([pdu[0] ?? 0, data.length]), data]);
  if (request.kind === 'raw') return Buffer.concat([pdu.subarray(0, 1), data]);
  const echo = encodePdu(request);
  return request.kind === 'write-coils' || request.kind === 'write-registers' ? echo.subarray(0, 5) : echo;
}

const TABLES = { 1: 'coil', 2: 'discrete', 3: 'holding', 4: 'input' } as const;

/** The request that a protocol data unit is; undefined when it is none that a master of ours would send. */
export function parseRequest(unit: number, pdu: Buffer): Request | undefined {
  const fn = pdu[0];
  const at = (index: number) => pdu.readUInt16BE(1 + 2 * index);
  const counted = (head: number) => pdu.length > head && pdu.length === head + 1 + (pdu[head] ?? 0);
  switch (fn) {
    case 1:
    case 2:
    case 3:
    case 4:
      return pdu.length === 5 ? { kind: 'read', unit, table: TABLES[fn], first: at(0), count: at(1) } : undefined;
    case 5:
      if (pdu.length !== 5 || (at(1) !== 0 && at(1) !== 0xff00)) return undefined;
      return { kind: 'write-coil', unit, at: at(0), on: at(1) !== 0 };
    case 6:
      return pdu.length === 5 ? { kind: 'write-register', unit, at: at(0), word: at(1) } : undefined;
    case 15: {
      if (!counted(5) || pdu[5] !== Math.ceil(at(1) / 8)) return undefined;
      const bits = Array.from({ length: at(1) }, (_, bit) => bitAt(pdu.subarray(6), bit));
      return { kind: 'write-coils', unit, first: at(0), bits };
    }
    case 16:
      if (!counted(5) || pdu[5] !== 2 * at(1)) return undefined;
      return { kind: 'write-registers', unit, first: at(0), data: pdu.subarray(6) };
    case 22:
      return pdu.length === 7 ? { kind: 'mask-register', unit, at: at(0), and: at(1), or: at(2) } : undefined;
    case 23:
      if (!counted(9) || pdu[9] !== 2 * at(3)) return undefined;
      return {
        kind: 'read-write-registers',
        unit,
        first: at(0),
        count: at(1),
        writeFirst: at(2),
        data: pdu.subarray(10),
      };
    case undefined:
      return undefined;
    default:
      return fn > 0 && fn < 0x80 ? { kind: 'raw', unit, fn, data: pdu.subarray(1) } : undefined;
  }
}
