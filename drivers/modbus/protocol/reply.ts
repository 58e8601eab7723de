import { encodePdu, functionOf, MEI_IDENTIFY, type Request, readBytes } from './request.ts';

/**
 * Match of a protocol data unit with a request. `data` of a read is the bytes after the byte count: packed bits or big-
 * endian registers. It is empty for a write. For a raw request it is everything after the function code.
 */
export type ReplyMatch =
  | { readonly kind: 'data'; readonly data: Buffer }
  | { readonly kind: 'exception'; readonly exception: number }
  | { readonly kind: 'mismatch'; readonly why: string };

/** Deviations of a device from the standard that its replies may have. */
export interface ReplyTolerance {
  /** Modbus TCP: the reply may have any transaction id. */
  readonly anyTransactionId?: boolean;
  /** The reply may name any unit. */
  readonly anyUnit?: boolean;
  /** The reply to a write of several items may repeat the whole request. */
  readonly wholeEcho?: boolean;
}

export const STRICT: ReplyTolerance = {};

const NOTHING = Buffer.alloc(0);

/**
 * Matches `pdu` with `request`. Function code, byte count and length must fit a read exactly, and a write must echo
 * every field of its request. Anything else is a mismatch.
 */
export function matchReply(request: Request, pdu: Buffer, tolerance: ReplyTolerance = STRICT): ReplyMatch {
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
      return counted(pdu, readBytes(request));
    case 'read-write-registers':
      return counted(pdu, 2 * request.count);
    case 'write-coil':
    case 'write-register':
    case 'mask-register':
      return echoed(pdu, encodePdu(request));
    case 'write-coils':
    case 'write-registers':
      return echoedInPart(pdu, encodePdu(request), tolerance);
    case 'identify':
      return pdu.length >= 7 && pdu[1] === MEI_IDENTIFY && pdu[2] === request.level
        ? { kind: 'data', data: pdu.subarray(2) }
        : mismatch('not the identification asked for');
    case 'raw':
      return { kind: 'data', data: pdu.subarray(1) };
  }
}

function counted(pdu: Buffer, bytes: number): ReplyMatch {
  if (pdu[1] === bytes && pdu.length > 2 + bytes) return mismatch(`${pdu.length - 2 - bytes} bytes more than its data`);
  if (pdu[1] !== bytes || pdu.length !== 2 + bytes)
    return mismatch(`${pdu.length - 2} data bytes (declared ${pdu[1]}) in place of ${bytes}`);
  return { kind: 'data', data: pdu.subarray(2) };
}

/** The reply to a write of several items has the first five bytes of the request: function, address and number. */
function echoedInPart(pdu: Buffer, expected: Buffer, { wholeEcho }: ReplyTolerance): ReplyMatch {
  if (!pdu.equals(expected)) return echoed(pdu, expected.subarray(0, 5));
  return wholeEcho
    ? { kind: 'data', data: NOTHING }
    : mismatch(`the whole request in it in place of its first 5 bytes; quirks: { write_reply: whole } accepts that`);
}

function echoed(pdu: Buffer, expected: Buffer): ReplyMatch {
  return pdu.equals(expected)
    ? { kind: 'data', data: NOTHING }
    : mismatch(`the echo ${pdu.toString('hex')} in place of ${expected.toString('hex')}`);
}

function mismatch(why: string): ReplyMatch {
  return { kind: 'mismatch', why };
}

/**
 * Length of the protocol data unit that begins with `bytes` and answers `request`. `undefined` when more bytes are
 * needed, `'foreign'` when it is no answer, `'open'` when only the checksum shows its end (raw requests).
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

/** Returns whether `bytes` begin with the whole request, which some devices repeat as the reply to a write of several items. */
export function repeatsRequest(request: Request, bytes: Buffer): boolean {
  if (request.kind !== 'write-coils' && request.kind !== 'write-registers') return false;
  const whole = encodePdu(request);
  return bytes.length >= whole.length && whole.equals(bytes.subarray(0, whole.length));
}

/** Returns whether `bytes` begin with the function and byte count of the requested data; noise hardly ever does. */
export function hasReadHeader(request: Request, bytes: Buffer): boolean {
  if (request.kind !== 'read' && request.kind !== 'read-write-registers') return false;
  return bytes[0] === functionOf(request) && bytes[1] === dataBytes(request);
}

/** Length of the longest reply's protocol data unit: the proper one, or the whole request where a device repeats that. */
export function longestReply(request: Request): number {
  switch (request.kind) {
    case 'read':
    case 'read-write-registers':
      return 2 + dataBytes(request);
    case 'mask-register':
      return 7;
    case 'write-coils':
    case 'write-registers':
      return encodePdu(request).length;
    case 'identify':
    case 'raw':
      return 253;
    default:
      return 5;
  }
}

function dataBytes(request: Extract<Request, { kind: 'read' | 'read-write-registers' }>): number {
  return request.kind === 'read' ? readBytes(request) : 2 * request.count;
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
