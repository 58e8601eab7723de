import { toDcsError } from '../../../src/errors/errors.ts';
import { ModbusException } from '../protocol/exception.ts';
import { encodePdu } from '../protocol/pdu.ts';
import type { Request } from '../protocol/request.ts';
import { parseRequest } from './parse-request.ts';
import { ILLEGAL_FUNCTION } from './store.ts';
import type { Responder } from './tcp-server.ts';

/** The gateway's own exceptions (Modbus application protocol 1.1b3, section 7). */
const NO_PATH = 10;
const NO_ANSWER = 11;

/**
 * Lets masters share a bus that takes one only: `ask` puts each request into the bus's one queue and gives the data of
 * its reply, fully matched as for our own. The device's refusals are passed on; its silence is exception 11, a bus that
 * is down exception 10. Functions that the driver does not know are passed on as they are.
 */
export function gatewayTo(ask: (request: Request) => Promise<Buffer>): Responder {
  return async (unit, pdu) => {
    const request = parseRequest(unit, pdu);
    const fn = pdu[0] ?? 0;
    if (!request) return Buffer.from([fn | 0x80, ILLEGAL_FUNCTION]);
    try {
      return replyOf(request, pdu, await ask(request));
    } catch (error) {
      if (error instanceof ModbusException) return Buffer.from([fn | 0x80, error.exception]);
      return Buffer.from([fn | 0x80, toDcsError(error).code === 'PORT_DOWN' ? NO_PATH : NO_ANSWER]);
    }
  };
}

/** The reply's protocol data unit, made again from what was found right in it. */
function replyOf(request: Request, pdu: Buffer, data: Buffer): Buffer {
  if (request.kind === 'read' || request.kind === 'read-write-registers')
    return Buffer.concat([Buffer.from([pdu[0] ?? 0, data.length]), data]);
  if (request.kind === 'raw') return Buffer.concat([pdu.subarray(0, 1), data]);
  const echo = encodePdu(request);
  return request.kind === 'write-coils' || request.kind === 'write-registers' ? echo.subarray(0, 5) : echo;
}
