import { randomBytes } from 'node:crypto';
import type { AccessControl } from '../security/access-control.ts';
import { equalProofs, keyProof } from '../security/keys.ts';
import type { MeshStats } from '../stats.ts';
import type { AcceptedConnection } from './acceptor.ts';
import type { OutgoingConnection } from './connector.ts';
import { readNode } from './node-info.ts';

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
export class Handshake {
  readonly #pending = new Map<string, Pending>();
  readonly #stats: MeshStats;

  constructor(stats: MeshStats) {
    this.#stats = stats;
  }

  /** A frame at our door before there is a session. Returns the hello once its sender has proven its key; counts who cannot. */
  verifyCaller(
    gate: AccessControl,
    frame: Record<string, unknown>,
    wire: AcceptedConnection,
    answer: (data: object) => void,
  ): Record<string, unknown> | undefined {
    const peer = readNode(frame['hello']);
    if (peer) {
      if (!gate.allows(peer.key)) return this.#forged();
      const nonce = randomBytes(24).toString('base64url');
      const [oldest] = this.#pending.keys();
      if (this.#pending.size >= MAX_PENDING && oldest !== undefined) this.#pending.delete(oldest);
      this.#pending.set(wire.routingId, { hello: frame, key: peer.key, nonce });
      answer({ challenge: nonce });
      return undefined;
    }
    const pending = this.#pending.get(wire.routingId);
    if (!pending || typeof frame['proof'] !== 'string') return frame;
    this.#pending.delete(wire.routingId);
    const asked = readNode(pending.hello['hello']);
    const expected = keyProof(gate.own, pending.key, challengeText(pending.nonce, asked?.id));
    if (!gate.allows(pending.key) || !equalProofs(expected, frame['proof'])) return this.#forged();
    wire.key = pending.key;
    wire.token = randomBytes(16).toString('base64url');
    return pending.hello;
  }

  #forged(): undefined {
    this.#stats.forged++;
  }

  /** Answers a challenge of the door we called. False: the frame is none. */
  answerChallenge(
    gate: AccessControl | undefined,
    id: string,
    frame: Record<string, unknown>,
    caller: OutgoingConnection,
  ): boolean {
    const { challenge } = frame;
    if (typeof challenge !== 'string' || !gate || caller.key === undefined) return false;
    caller.sendHandshake({ proof: keyProof(gate.own, caller.key, challengeText(challenge, id)) });
    return true;
  }
}

function challengeText(nonce: string, caller: string | undefined): string {
  return `${nonce} ${caller ?? ''}`;
}
