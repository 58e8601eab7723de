import type { DurationMs } from '../../../src/clock/clock.ts';
import type { ReceivedRequest } from '../server/line-server.ts';

/** A fault of a simulated slave with one request. */
export type Fault =
  | { readonly kind: 'silent' }
  /** Neither carries the request out nor answers. */
  | { readonly kind: 'ignore' }
  /** Answers late by this time. */
  | { readonly kind: 'late'; readonly ms: DurationMs }
  | { readonly kind: 'wrong-checksum' }
  /** Sends only the first bytes. */
  | { readonly kind: 'truncated'; readonly bytes: number }
  /** Sends other bytes before and after the reply. */
  | { readonly kind: 'noise'; readonly before: Buffer; readonly after: Buffer }
  | { readonly kind: 'exception'; readonly code: number }
  | { readonly kind: 'wrong-unit'; readonly unit: number }
  /** Sends another protocol data unit: a write confirmed with another address. */
  | { readonly kind: 'other-reply'; readonly pdu: Buffer }
  /** The line or connection breaks after so many bytes of the reply. */
  | { readonly kind: 'break'; readonly bytes: number }
  /** Sends the request itself before the reply, as an adapter with an echo does. */
  | { readonly kind: 'echo' }
  /** The device or its adapter is unplugged for this time. */
  | { readonly kind: 'unplug'; readonly ms: DurationMs };

/** Decides the fault of each request; `undefined`: a proper reply. `index` counts the requests from 0. */
export type FaultScript = (request: ReceivedRequest, index: number) => Fault | undefined;

/** Returns whether the device does nothing: it refuses or ignores the request. */
export function doesNothing(fault: Fault | undefined): boolean {
  return fault?.kind === 'exception' || fault?.kind === 'ignore';
}

/** Encoding of a reply into a frame. */
export interface FrameCodec {
  wrap(unit: number, pdu: Buffer): Buffer;
  /** Corrupts a whole frame in place so that its reader must notice. */
  damage(frame: Buffer): void;
}

/**
 * The bytes sent in place of a reply; `undefined`: none. `request` and `proper` are PDUs: the request and the proper
 * reply.
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
    case 'ignore':
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
