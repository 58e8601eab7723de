import { encodePdu, MEI_IDENTIFY } from './pdu.ts';
import { functionOf, isBitTable, type Request } from './request.ts';

/**
 * What a protocol data unit is to a request. `data` of a read is what follows the byte count: packed bits or
 * big-endian registers; of a write it is empty; of a raw request everything after the function code.
 */
export type Match =
  | { readonly kind: 'data'; readonly data: Buffer }
  | { readonly kind: 'exception'; readonly exception: number }
  | { readonly kind: 'mismatch'; readonly why: string };

const NOTHING = Buffer.alloc(0);

/**
 * Whether `pdu` answers `request`: function code, byte count and length must fit a read exactly, and a write must echo
 * every field of its request. Anything else is a mismatch, whatever it may contain.
 */
export function matchReply(request: Request, pdu: Buffer): Match {
  const fn = functionOf(request);
  if (pdu[0] === (fn | 0x80) && fn < 0x80) {
    const exception = pdu[1];
    return pdu.length === 2 && exception !== undefined
      ? { kind: 'exception', exception }
      : mismatch(`an exception of ${pdu.length} bytes`);
  }
  if (pdu[0] !== fn) return mismatch(`function ${pdu[0]} in place of ${fn}`);
  switch (request.kind) {
    case 'read':
      return counted(pdu, isBitTable(request.table) ? Math.ceil(request.count / 8) : 2 * request.count);
    case 'read-write-registers':
      return counted(pdu, 2 * request.count);
    case 'write-coil':
    case 'write-register':
    case 'mask-register':
      return echoed(pdu, encodePdu(request));
    case 'write-coils':
    case 'write-registers':
      return echoed(pdu, encodePdu(request).subarray(0, 5));
    case 'identify':
      return pdu.length >= 7 && pdu[1] === MEI_IDENTIFY && pdu[2] === request.level
        ? { kind: 'data', data: pdu.subarray(2) }
        : mismatch('not the identification asked for');
    case 'raw':
      return { kind: 'data', data: pdu.subarray(1) };
  }
}

function counted(pdu: Buffer, bytes: number): Match {
  if (pdu[1] !== bytes || pdu.length !== 2 + bytes)
    return mismatch(`${pdu.length - 2} data bytes (declared ${pdu[1]}) in place of ${bytes}`);
  return { kind: 'data', data: pdu.subarray(2) };
}

function echoed(pdu: Buffer, expected: Buffer): Match {
  return pdu.equals(expected)
    ? { kind: 'data', data: NOTHING }
    : mismatch(`the echo ${pdu.toString('hex')} in place of ${expected.toString('hex')}`);
}

function mismatch(why: string): Match {
  return { kind: 'mismatch', why };
}
