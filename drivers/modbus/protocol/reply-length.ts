import { functionOf, isBitTable, type Request } from './request.ts';

/**
 * How long the protocol data unit that begins with `bytes` must be to answer `request`: its length, `undefined` when
 * more bytes are needed to tell, `'foreign'` when it cannot be an answer, `'open'` when only its checksum can tell
 * where it ends (raw requests).
 */
export function replyLength(request: Request, bytes: Buffer): number | 'foreign' | 'open' | undefined {
  const fn = functionOf(request);
  const first = bytes[0];
  if (first === undefined) return undefined;
  if (first === (fn | 0x80)) return 2;
  if (first !== fn) return 'foreign';
  switch (request.kind) {
    case 'read':
    case 'read-write-registers': {
      const data = dataBytes(request);
      return bytes[1] === undefined ? undefined : bytes[1] === data ? 2 + data : 'foreign';
    }
    case 'write-coil':
    case 'write-register':
    case 'write-coils':
    case 'write-registers':
      return 5;
    case 'mask-register':
      return 7;
    case 'identify':
      return identityLength(bytes);
    case 'raw':
      return 'open';
  }
}

/** Whether `bytes` begin with the function and byte count of the data asked for: noise hardly ever does. */
export function beginsWithData(request: Request, bytes: Buffer): boolean {
  if (request.kind !== 'read' && request.kind !== 'read-write-registers') return false;
  return bytes[0] === functionOf(request) && bytes[1] === dataBytes(request);
}

/** Bytes of the proper reply's protocol data unit; for those of open length the most there can be. */
export function longestReply(request: Request): number {
  switch (request.kind) {
    case 'read':
    case 'read-write-registers':
      return 2 + dataBytes(request);
    case 'mask-register':
      return 7;
    case 'identify':
    case 'raw':
      return 253;
    default:
      return 5;
  }
}

function dataBytes(request: Extract<Request, { kind: 'read' | 'read-write-registers' }>): number {
  return request.kind === 'read' && isBitTable(request.table) ? Math.ceil(request.count / 8) : 2 * request.count;
}

/** Function 43/14: six bytes, the number of objects, then each with its id, length and text. */
function identityLength(bytes: Buffer): number | undefined {
  const objects = bytes[6];
  if (objects === undefined) return undefined;
  let at = 7;
  for (let object = 0; object < objects; object++) {
    const length = bytes[at + 1];
    if (length === undefined) return undefined;
    at += 2 + length;
  }
  return at;
}
