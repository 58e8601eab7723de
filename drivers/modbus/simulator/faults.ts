import type { DurationMs } from '../../../src/clock/clock.ts';
import type { ReceivedRequest } from '../server/line-server.ts';

/** What a simulated slave does wrong with one request. */
export type Fault =
  | { readonly kind: 'silent' }
  /** Answers, but so much later. */
  | { readonly kind: 'late'; readonly ms: DurationMs }
  | { readonly kind: 'wrong-checksum' }
  /** Only the first bytes. */
  | { readonly kind: 'truncated'; readonly bytes: number }
  /** Other bytes before and after the reply. */
  | { readonly kind: 'noise'; readonly before: Buffer; readonly after: Buffer }
  | { readonly kind: 'exception'; readonly code: number }
  | { readonly kind: 'wrong-unit'; readonly unit: number }
  /** Something else in place of the reply's protocol data unit: a write confirmed with another address. */
  | { readonly kind: 'other-reply'; readonly pdu: Buffer }
  /** The line or connection breaks after so many bytes of the reply. */
  | { readonly kind: 'break'; readonly bytes: number }
  /** The request itself comes back before the reply, as from an adapter that hears its own sending. */
  | { readonly kind: 'echo' }
  /** The device or its adapter is pulled out, and put in again so much later. */
  | { readonly kind: 'unplug'; readonly ms: DurationMs };

/** Decides each request's fate; undefined: a proper reply. `index` counts the requests heard, from 0. */
export type FaultScript = (request: ReceivedRequest, index: number) => Fault | undefined;

/** What differs between the ways a reply travels. */
export interface FrameCodec {
  wrap(unit: number, pdu: Buffer): Buffer;
  /** Damages a whole frame in place so that its reader must notice. */
  damage(frame: Buffer): void;
}

/**
 * The bytes that a fault leaves of a reply; undefined: none. `request` and `proper` are PDUs: what was asked, and what a
 * sound device would answer.
 */
export function applyFault(
  { wrap, damage }: FrameCodec,
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
