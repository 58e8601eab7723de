import type { Match } from './reply.ts';
import type { Request } from './request.ts';

/** What the bytes received so far hold for one of the requests that wait for a reply. */
export type Scan =
  /** A frame with a good checksum, from the unit of `request` and of its function: bytes `from` up to, without, `to`. */
  | {
      readonly kind: 'frame';
      readonly request: Request;
      readonly match: Match;
      readonly from: number;
      readonly to: number;
    }
  /**
   * A reply of full length with a bad checksum (`complete`), or one that has begun and not ended. `sure`: so much of
   * it fits that it cannot well be noise.
   */
  | { readonly kind: 'begun'; readonly request: Request; readonly complete: boolean; readonly sure: boolean }
  | { readonly kind: 'nothing' };

/** How a serial bus marks where a frame begins and ends: RTU or ASCII. */
export interface Framing {
  encode(unit: number, pdu: Buffer): Buffer;
  /** Bytes on the wire for a protocol data unit of this length. */
  size(pduLength: number): number;
  scan(bytes: Buffer, requests: readonly Request[]): Scan;
}
