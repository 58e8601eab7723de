import { deserialize, serialize } from 'node:v8';
import type { LastWill } from '../driver/last-will.ts';
import { isRecord } from '../message/envelope.ts';

/**
 * The descriptors at which a guardian hears and answers its agent. Two pipes: what an agent said before it was killed must
 * be read to the end, which neither an answer that cannot be sent any more nor (as with Node's own channel to a child) a
 * reader that is not ready yet may prevent.
 */
export const HEAR_FD = 3;
export const ANSWER_FD = 4;

/** From the agent to its guardian. */
export type ToGuardian =
  /** The agent lives. Answered with the same number. */
  | { readonly kind: 'beat'; readonly serial: number }
  /** How a port's outputs get safe; `will` undefined: they need nothing (any more). Replaces what was said before. */
  | { readonly kind: 'will'; readonly port: string; readonly will: LastWill | undefined }
  /** The agent ends in good order: nothing is to be done. */
  | { readonly kind: 'bye' };

export type FromGuardian =
  | { readonly kind: 'ready' }
  | { readonly kind: 'beat'; readonly serial: number }
  /** A last will that cannot be carried out on this machine. */
  | { readonly kind: 'refused'; readonly port: string; readonly reason: string };

/** From an agent that has come back to the guardian of the life before, one JSON line each; every one is answered. */
export type ToPredecessor =
  /** A new agent takes over: drive nothing any more. */
  | { readonly kind: 'back' }
  /** Let go of a port's hardware now: it is about to be taken. */
  | { readonly kind: 'release'; readonly port: string }
  /** All ports have been tried: let go of everything and end. */
  | { readonly kind: 'done' };

export type FromPredecessor =
  /** `unsafe`: ports whose outputs could not all be driven to their safe state. */
  | { readonly kind: 'yours'; readonly unsafe: readonly string[] }
  | { readonly kind: 'released' }
  /** Its agent is alive. */
  | { readonly kind: 'busy'; readonly agent: number };

/** One line. Last wills hold Buffers, so it is not JSON. */
export function encode(message: ToGuardian | FromGuardian): string {
  return `${serialize(message).toString('base64')}\n`;
}

/** Splits what comes into lines and gives each, decoded. */
export function decoder(take: (found: unknown) => void): (chunk: Buffer) => void {
  let rest = '';
  return (chunk) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(deserialize(Buffer.from(line, 'base64')));
  };
}

// Both ends are of one version and one machine; what is checked is that nobody else talks.

export function isToGuardian(found: unknown): found is ToGuardian {
  return isRecord(found) && (found['kind'] === 'beat' || found['kind'] === 'will' || found['kind'] === 'bye');
}

export function isFromGuardian(found: unknown): found is FromGuardian {
  return isRecord(found) && (found['kind'] === 'ready' || found['kind'] === 'beat' || found['kind'] === 'refused');
}

export function parseToPredecessor(line: string): ToPredecessor | undefined {
  const found = parseLine(line);
  switch (found?.['kind']) {
    case 'back':
      return { kind: 'back' };
    case 'done':
      return { kind: 'done' };
    case 'release':
      return typeof found['port'] === 'string' ? { kind: 'release', port: found['port'] } : undefined;
    default:
      return undefined;
  }
}

export function parseFromPredecessor(line: string): FromPredecessor | undefined {
  const found = parseLine(line);
  switch (found?.['kind']) {
    case 'released':
      return { kind: 'released' };
    case 'busy':
      return { kind: 'busy', agent: Number(found['agent']) };
    case 'yours': {
      const { unsafe } = found;
      return { kind: 'yours', unsafe: Array.isArray(unsafe) ? unsafe.map(String) : [] };
    }
    default:
      return undefined;
  }
}

function parseLine(line: string): Record<string, unknown> | undefined {
  try {
    const found: unknown = JSON.parse(line);
    return isRecord(found) ? found : undefined;
  } catch {
    // Not ours; whoever asked is told by the missing answer.
    return undefined;
  }
}
