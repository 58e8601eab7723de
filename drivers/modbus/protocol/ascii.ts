import { lrc8 } from './crc.ts';
import type { Framing, Scan } from './framing.ts';
import { matchReply } from './reply.ts';
import { beginsWithData } from './reply-length.ts';
import { functionOf, type Request } from './request.ts';

const COLON = 0x3a;
const CR = 0x0d;
const LF = 0x0a;

/** ASCII frames: a colon, two hexadecimal digits a byte, the LRC, carriage return and line feed. */
export const ascii: Framing = {
  encode(unit, pdu) {
    const bytes = Buffer.concat([Buffer.from([unit]), pdu]);
    const digits = Buffer.concat([bytes, Buffer.from([lrc8(bytes)])]).toString('hex');
    return Buffer.from(`:${digits.toUpperCase()}\r\n`, 'latin1');
  },
  size: (pduLength) => 2 * (pduLength + 2) + 3,
  scan(bytes, requests) {
    let begun: Scan = { kind: 'nothing' };
    for (let at = bytes.indexOf(COLON); at >= 0; at = bytes.indexOf(COLON, at + 1)) {
      const next = bytes.indexOf(COLON, at + 1);
      const end = bytes.indexOf(LF, at + 1);
      const whole = end >= 0 && (next < 0 || end < next);
      const found = candidate(
        bytes.subarray(at + 1, whole ? end + 1 : next < 0 ? bytes.length : next),
        whole,
        requests,
      );
      if (found.kind === 'frame') return { ...found, from: at, to: end + 1 };
      // What another colon follows will not be finished any more.
      if (found.kind === 'begun' && begun.kind === 'nothing') begun = { ...found, complete: whole || next >= 0 };
    }
    return begun;
  },
};

function candidate(text: Buffer, whole: boolean, requests: readonly Request[]): Scan {
  const digits = (whole ? text.subarray(0, -2) : text).toString('latin1');
  const bytes = Buffer.from(digits.slice(0, digits.length & ~1), 'hex');
  const request = requests.find(
    (one) => bytes[0] === one.unit && bytes[1] !== undefined && (bytes[1] & 0x7f) === (functionOf(one) & 0x7f),
  );
  if (!request) return { kind: 'nothing' };
  const sound =
    whole && text.at(-2) === CR && /^([0-9A-F]{2})+$/i.test(digits) && bytes.length >= 3 && lrc8(bytes) === 0;
  if (!sound) return { kind: 'begun', request, complete: whole, sure: beginsWithData(request, bytes.subarray(1)) };
  return { kind: 'frame', request, match: matchReply(request, bytes.subarray(1, -1)), from: 0, to: 0 };
}
