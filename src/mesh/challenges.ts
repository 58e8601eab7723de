import { randomBytes } from 'node:crypto';
import type { Caller } from './caller.ts';
import type { DoorWire } from './door.ts';
import type { Gate } from './gate.ts';
import { readNode } from './node-info.ts';
import { proof, sameProof } from './proof.ts';
import type { MeshStats } from './stats.ts';

/** Callers that have said hello and not proven their key yet; more than that are forgotten, oldest first. */
const MAX_PENDING = 256;

interface Pending {
  readonly hello: Record<string, unknown>;
  readonly key: string;
  readonly nonce: string;
}

/**
 * Who is at the other end of a connection. ZeroMQ lets in whoever has an allowed key, but does not tell which connection
 * is whose: so each caller proves that it holds the key it names, for this one connection.
 */
export class Challenges {
  readonly #pending = new Map<string, Pending>();
  readonly #stats: MeshStats;

  constructor(stats: MeshStats) {
    this.#stats = stats;
  }

  /** A frame at our door before there is a session. Returns the hello once its sender has proven its key; counts who cannot. */
  proven(
    gate: Gate,
    frame: Record<string, unknown>,
    wire: DoorWire,
    answer: (data: object) => void,
  ): Record<string, unknown> | undefined {
    const peer = readNode(frame['hello']);
    if (peer) {
      if (!gate.allows(peer.key)) return this.#forged();
      const nonce = randomBytes(24).toString('base64url');
      const [oldest] = this.#pending.keys();
      if (this.#pending.size >= MAX_PENDING && oldest !== undefined) this.#pending.delete(oldest);
      this.#pending.set(wire.name, { hello: frame, key: peer.key, nonce });
      answer({ challenge: nonce });
      return undefined;
    }
    const pending = this.#pending.get(wire.name);
    if (!pending || typeof frame['proof'] !== 'string') return frame;
    this.#pending.delete(wire.name);
    const asked = readNode(pending.hello['hello']);
    const expected = proof(gate.own, pending.key, conversation(pending.nonce, asked?.id));
    if (!gate.allows(pending.key) || !sameProof(expected, frame['proof'])) return this.#forged();
    wire.key = pending.key;
    wire.token = randomBytes(16).toString('base64url');
    return pending.hello;
  }

  #forged(): undefined {
    this.#stats.forged++;
  }

  /** Answers a challenge of the door we called. False: the frame is none. */
  meet(gate: Gate | undefined, id: string, frame: Record<string, unknown>, caller: Caller): boolean {
    const { challenge } = frame;
    if (typeof challenge !== 'string' || !gate || caller.key === undefined) return false;
    caller.reply({ proof: proof(gate.own, caller.key, conversation(challenge, id)) });
    return true;
  }
}

function conversation(nonce: string, caller: string | undefined): string {
  return `${nonce} ${caller ?? ''}`;
}
