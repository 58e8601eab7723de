import { crc16 } from './crc.ts';
import type { Framing, Scan } from './framing.ts';
import { matchReply } from './reply.ts';
import { beginsWithData, replyLength } from './reply-length.ts';
import type { Request } from './request.ts';

/**
 * RTU frames: unit, protocol data unit, CRC (low byte first). The length of a reply follows from its request, so no
 * frame has to be told by silence: noise, an echo or a foreign frame before the reply is stepped over, and what is
 * taken has unit, function, length and CRC right.
 */
export const rtu: Framing = {
  encode(unit, pdu) {
    const frame = Buffer.allocUnsafe(pdu.length + 3);
    frame[0] = unit;
    pdu.copy(frame, 1);
    frame.writeUInt16LE(crc16(frame, 0, pdu.length + 1), pdu.length + 1);
    return frame;
  },
  size: (pduLength) => pduLength + 3,
  scan(bytes, requests) {
    let begun: Scan = { kind: 'nothing' };
    for (let at = 0; at < bytes.length; at++) {
      for (const request of requests) {
        if (bytes[at] !== request.unit) continue;
        const found = candidate(bytes, at, request);
        if (found.kind === 'frame') return found;
        if (found.kind === 'begun' && begun.kind === 'nothing') begun = found;
      }
    }
    return begun;
  },
};

function candidate(bytes: Buffer, at: number, request: Request): Scan {
  const length = replyLength(request, bytes.subarray(at + 1));
  if (length === 'foreign' || length === undefined) return { kind: 'nothing' };
  if (length === 'open') return openEnded(bytes, at, request);
  const end = at + 1 + length;
  const sure = beginsWithData(request, bytes.subarray(at + 1));
  if (bytes.length < end + 2) return { kind: 'begun', request, complete: false, sure };
  if (crc16(bytes, at, end) !== bytes.readUInt16LE(end)) return { kind: 'begun', request, complete: true, sure };
  return { kind: 'frame', request, match: matchReply(request, bytes.subarray(at + 1, end)), from: at, to: end + 2 };
}

/** A reply whose length nobody knows: all there is must be it. That it is over only silence can tell. */
function openEnded(bytes: Buffer, at: number, request: Request): Scan {
  const end = bytes.length - 2;
  if (end < at + 2 || crc16(bytes, at, end) !== bytes.readUInt16LE(end))
    return { kind: 'begun', request, complete: false, sure: false };
  return {
    kind: 'frame',
    request,
    match: matchReply(request, bytes.subarray(at + 1, end)),
    from: at,
    to: bytes.length,
  };
}
