import { deserialize, serialize } from 'node:v8';
import type { CrashPlan } from '../driver/contract.ts';
import { isRecord } from '../message/envelope.ts';

/**
 * The descriptors at which a guardian hears and answers its agent. Two pipes: what an agent said before it was killed must
 * be read to the end, which neither an answer that cannot be sent any more nor (as with Node's own channel to a child) a
 * reader that is not ready yet may prevent.
 */
export const COMMAND_FD = 3;
export const ANSWER_FD = 4;
/** Here the guardian is passed descriptors, each lot before the message that says how many. Absent where they cannot be. */
export const PASS_FD = 5;

/** From the agent to its guardian. */
export type ToGuardian =
  /** The agent lives. Answered with the same number. */
  | { readonly kind: 'beat'; readonly serial: number }
  /**
   * How a port's outputs get safe; `will` undefined: they need nothing (any more). Replaces what was said before. Its
   * descriptors, `passed` of them, came another way.
   */
  | { readonly kind: 'plan'; readonly port: string; readonly crashPlan: CrashPlan | undefined; readonly passed: number }
  /** The agent ends in good order: nothing is to be driven. What was passed is held for the next life. */
  | { readonly kind: 'stop' };

export type FromGuardian =
  | { readonly kind: 'ready' }
  | { readonly kind: 'beat'; readonly serial: number }
  /** After the good-bye: it stays and holds hardware of these ports. */
  | { readonly kind: 'holding'; readonly ports: readonly string[] }
  /** A last will that cannot be carried out on this machine. */
  | { readonly kind: 'refused'; readonly port: string; readonly reason: string };

/** From an agent that has come back to the guardian of the life before, one JSON line each; every one is answered. */
export type ToPreviousGuardian =
  /** A new agent takes over: drive nothing any more. */
  | { readonly kind: 'back' }
  /** Let go of a port's hardware now: it is about to be taken. `to`: what is held can be posted there. */
  | { readonly kind: 'release'; readonly port: string; readonly to?: string }
  /** How it fares. Changes nothing. */
  | { readonly kind: 'look' }
  /** All ports have been tried: let go of everything and end. */
  | { readonly kind: 'done' };

/** What a guardian says of itself. */
export interface GuardianStatus {
  /** Process ids. */
  readonly guardian: number;
  readonly agent: number;
  /** What has become of the agent: it runs, was stopped, or has crashed. */
  readonly found: 'running' | 'stopped' | 'crashed';
  /** Ports of which it holds hardware, and those whose outputs are in their safe state. */
  readonly held: readonly string[];
  readonly safe: readonly string[];
}

export type FromPreviousGuardian =
  /** `unsafe`: ports whose outputs could not all be driven to their safe state. `crashed`: the agent had not said good-bye. */
  | { readonly kind: 'yours'; readonly unsafe: readonly string[]; readonly crashed: boolean }
  /** `passed`: so many descriptors have been posted, and `plan` says what they are. */
  | { readonly kind: 'released'; readonly passed: number; readonly plan?: unknown }
  | ({ readonly kind: 'seen' } & GuardianStatus)
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
  return isRecord(found) && (found['kind'] === 'beat' || found['kind'] === 'plan' || found['kind'] === 'stop');
}

export function isFromGuardian(found: unknown): found is FromGuardian {
  const kind = isRecord(found) && found['kind'];
  return kind === 'ready' || kind === 'beat' || kind === 'refused' || kind === 'holding';
}

export function parseToPreviousGuardian(line: string): ToPreviousGuardian | undefined {
  const found = parseLine(line);
  switch (found?.['kind']) {
    case 'back':
      return { kind: 'back' };
    case 'done':
      return { kind: 'done' };
    case 'look':
      return { kind: 'look' };
    case 'release': {
      const { port, to } = found;
      if (typeof port !== 'string') return undefined;
      return { kind: 'release', port, ...(typeof to === 'string' && { to }) };
    }
    default:
      return undefined;
  }
}

export function parseFromPreviousGuardian(line: string): FromPreviousGuardian | undefined {
  const found = parseLine(line);
  switch (found?.['kind']) {
    case 'released': {
      const { passed, plan } = found;
      return { kind: 'released', passed: typeof passed === 'number' ? passed : 0, plan };
    }
    case 'seen': {
      const { guardian, agent, found: state, held, safe } = found;
      const fate = state === 'stopped' || state === 'crashed' ? state : 'running';
      return {
        kind: 'seen',
        guardian: Number(guardian),
        agent: Number(agent),
        found: fate,
        held: stringList(held),
        safe: stringList(safe),
      };
    }
    case 'busy':
      return { kind: 'busy', agent: Number(found['agent']) };
    case 'yours': {
      const { unsafe, crashed } = found;
      return { kind: 'yours', unsafe: stringList(unsafe), crashed: crashed !== false };
    }
    default:
      return undefined;
  }
}

function stringList(found: unknown): string[] {
  return Array.isArray(found) ? found.map(String) : [];
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
