import type { DurationMs } from '../../../src/clock/clock.ts';
import type { ReceivedRequest } from '../server/request-reader.ts';

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
export type Script = (request: ReceivedRequest, index: number) => Fault | undefined;
