import type { Fault } from './fault.ts';

/** What differs between the ways a reply travels. */
export interface Wrapping {
  wrap(unit: number, pdu: Buffer): Buffer;
  /** Damages a whole frame in place so that its reader must notice. */
  damage(frame: Buffer): void;
}

/**
 * The bytes that a fault leaves of a reply; undefined: none. `request` and `proper` are PDUs: what was asked, and what a
 * sound device would answer.
 */
export function spoilt(
  { wrap, damage }: Wrapping,
  unit: number,
  request: Buffer,
  proper: Buffer,
  fault: Fault | undefined,
): Buffer | undefined {
  const frame = wrap(unit, proper);
  switch (fault?.kind) {
    case undefined:
    case 'late':
      return frame;
    case 'silent':
    case 'unplug':
      return undefined;
    case 'echo':
      return Buffer.concat([wrap(unit, request), frame]);
    case 'wrong-checksum':
      damage(frame);
      return frame;
    case 'truncated':
    case 'break':
      return frame.subarray(0, fault.bytes);
    case 'noise':
      return Buffer.concat([fault.before, frame, fault.after]);
    case 'exception':
      return wrap(unit, Buffer.from([(request[0] ?? 0) | 0x80, fault.code]));
    case 'wrong-unit':
      return wrap(fault.unit, proper);
    case 'other-reply':
      return wrap(unit, fault.pdu);
  }
}
