import { deserialize, serialize } from 'node:v8';
import type { CrashPlan } from '../driver/contract.ts';
import { isRecord } from '../message/envelope.ts';

/**
 * Descriptors of the pipes between an agent and its guardian. There are two, because the guardian must read all messages of a
 * killed agent: neither a failed answer nor a reader that is not ready yet (as with Node's own channel to a child) may
 * prevent that.
 */
export const COMMAND_FD = 3;
export const ANSWER_FD = 4;
/** The socket that passes descriptors to the guardian, each lot before its message. Not open where koffi does not load. */
export const PASS_FD = 5;

/** From the agent to its guardian. */
export type ToGuardian =
  /** Heartbeat. Answered with the same number. */
  | { readonly kind: 'beat'; readonly serial: number }
  /**
   * The crash plan of a port, in place of an earlier one; `undefined` when it needs none. `passed` of its descriptors arrive
   * at PASS_FD.
   */
  | { readonly kind: 'plan'; readonly port: string; readonly crashPlan: CrashPlan | undefined; readonly passed: number }
  /** The agent stops: drive nothing, and hold the passed hardware for its next run. */
  | { readonly kind: 'stop' };

export type FromGuardian =
  | { readonly kind: 'ready' }
  | { readonly kind: 'beat'; readonly serial: number }
  /** After `stop`: the guardian stays and holds hardware of these ports. */
  | { readonly kind: 'holding'; readonly ports: readonly string[] }
  /** The crash plan of a port cannot be carried out on this machine. */
  | { readonly kind: 'refused'; readonly port: string; readonly reason: string };

/** From an agent to the guardian of an earlier run, one JSON line each. Each is answered. */
export type ToPreviousGuardian =
  /** A new agent takes over: drive nothing any more. */
  | { readonly kind: 'back' }
  /** Release the hardware of a port, which is about to be taken. `to`: path of a socket for its descriptors. */
  | { readonly kind: 'release'; readonly port: string; readonly to?: string }
  /** Asks for the status. Changes nothing. */
  | { readonly kind: 'look' }
  /** All ports have been tried: release everything and end. */
  | { readonly kind: 'done' };

/** The status of a guardian. */
export interface GuardianStatus {
  /** Process ids. */
  readonly guardian: number;
  readonly agent: number;
  /** State of the agent. */
  readonly found: 'running' | 'stopped' | 'crashed';
  /** Ports whose hardware it holds, and ports whose outputs are in their safe state. */
  readonly held: readonly string[];
  readonly safe: readonly string[];
}

export type FromPreviousGuardian =
  /** `unsafe`: ports whose outputs are not all in their safe state. `crashed`: the agent had ended without a stop. */
  | { readonly kind: 'yours'; readonly unsafe: readonly string[]; readonly crashed: boolean }
  /** `passed`: number of descriptors sent; `plan` says what they are. */
  | { readonly kind: 'released'; readonly passed: number; readonly plan?: unknown }
  | ({ readonly kind: 'seen' } & GuardianStatus)
  /** Its agent still runs. */
  | { readonly kind: 'busy'; readonly agent: number };

/** One line. Not JSON, because crash plans contain Buffers. */
export function encode(message: ToGuardian | FromGuardian): string {
  return `${serialize(message).toString('base64')}\n`;
}

/** Splits chunks into lines, and calls `take` with each line decoded. */
export function decoder(take: (found: unknown) => void): (chunk: Buffer) => void {
  let rest = '';
  return (chunk) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(deserialize(Buffer.from(line, 'base64')));
  };
}

// Both ends are of one version on one machine, so the kind alone is checked.

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
    // Not a message of this protocol: it gets no answer.
    return undefined;
  }
}
