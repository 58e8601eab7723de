import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock/clock.ts';
import { type LocalNode, type NodeInfo, readNode, readNodes } from '../local-node.ts';
import type { PeerAccess } from '../security/access-control.ts';
import { equalProofs, keyProof } from '../security/keys.ts';
import type { MeshStats } from '../stats.ts';
import type { AcceptedConnection, CallerHandshake, Connection } from './acceptor.ts';
import type { CalleeHandshake, OutgoingConnection } from './connector.ts';
import type { Directory, KnownNode } from './directory.ts';
import type { Session } from './session.ts';
import type { SubscriptionSync } from './subscription-sync.ts';

/** Most callers that have said hello and not proven their key yet. Beyond it the oldest is forgotten. */
const MAX_PENDING = 256;

interface PendingCaller {
  readonly hello: Record<string, unknown>;
  readonly key: string;
  readonly nonce: string;
}

export interface SessionOpener {
  /** Opens a session. `frame`: the peer's hello or welcome. `host`: the peer's address, when we dialled it. */
  openSession(node: KnownNode, connection: Connection, frame: Record<string, unknown>, host?: string): Session;
  /** Another node told us of this one. */
  learn(node: NodeInfo): void;
  /** A node we dialled does not allow our key. */
  onKeyRefused(): void;
}

/**
 * The exchange that opens a session: hello, welcome, and between them challenge and proof when the mesh is encrypted.
 * ZeroMQ admits every allowed key, but does not tell which connection belongs to which key. So each caller proves for its
 * connection that it holds the key it names.
 */
export class Handshake implements CallerHandshake, CalleeHandshake {
  readonly #clock: Clock;
  readonly #stats: MeshStats;
  readonly #localNode: LocalNode;
  readonly #directory: Directory;
  readonly #subscriptionSync: SubscriptionSync;
  readonly #access: PeerAccess | undefined;
  readonly #opener: SessionOpener;
  readonly #pending = new Map<string, PendingCaller>();
  #stopped = false;

  /** `access`: `undefined` while the mesh is not encrypted. */
  constructor(
    stats: MeshStats,
    localNode: LocalNode,
    directory: Directory,
    subscriptionSync: SubscriptionSync,
    access: PeerAccess | undefined,
    opener: SessionOpener,
  ) {
    this.#clock = directory.clock;
    this.#stats = stats;
    this.#localNode = localNode;
    this.#directory = directory;
    this.#subscriptionSync = subscriptionSync;
    this.#access = access;
    this.#opener = opener;
  }

  hello(): object {
    return { hello: this.#localNode.info(), t: this.#clock.now(), ...this.#subscriptionSync.current() };
  }

  /** No more sessions are opened for callers. */
  stop(): void {
    this.#stopped = true;
  }

  onKeyRefused(): void {
    this.#opener.onKeyRefused();
  }

  /** The frame is a hello or a proof, or comes from a node whose session we have ended and that does not know it. */
  onCallerFrame(frame: Record<string, unknown>, connection: AcceptedConnection): Session | undefined {
    const hello = this.#access ? this.#verifyCaller(this.#access, frame, connection) : frame;
    if (!hello) return undefined;
    const peer = readNode(hello['hello']);
    if (!peer || peer.id === this.#localNode.id) {
      this.#stats.malformed++;
      if (frame['bye'] === undefined) this.#answer(connection, { bye: 'unknown' });
      return undefined;
    }
    const node = this.#directory.ensure(peer);
    if (!node || this.#stopped) return undefined;
    if (node.answered && node.info.key !== connection.key) {
      // Another key claims the id of a node that we have talked with. An id belongs to one run of one node.
      this.#stats.forged++;
      return undefined;
    }
    if (node.session?.connection.outgoing && this.#localNode.id < peer.id) {
      this.#answer(connection, { bye: 'duplicate', id: this.#localNode.id });
      return undefined;
    }
    node.info = peer;
    const others = [...this.#directory.nodes()].filter(({ session, info }) => session && info.id !== peer.id);
    this.#answer(connection, {
      welcome: this.#localNode.info(),
      t: this.#clock.now(),
      ...this.#subscriptionSync.current(),
      nodes: others.map(({ info }) => info),
      token: connection.token,
    });
    return this.#opener.openSession(node, connection, hello);
  }

  /** The frame is a challenge, a welcome or a bye. */
  onCalleeFrame(frame: Record<string, unknown>, connection: OutgoingConnection): void {
    if (this.#answerChallenge(frame, connection)) return;
    const called = connection.node;
    const peer = readNode(frame['welcome']);
    const node = called ?? (peer && this.#directory.ensure(peer));
    if (peer && node && peer.id === node.info.id && this.#isExpected(node, connection)) {
      node.info = peer;
      if (node.standbyConnection === connection) {
        node.standbyConnection = undefined;
        node.connection = connection;
      }
      connection.setToken(frame['token']);
      connection.attachSession(this.#opener.openSession(node, connection, frame, connection.host));
      for (const other of readNodes(frame['nodes'])) this.#opener.learn(other);
    } else if (frame['bye'] !== undefined || peer) {
      // There is a session already, or another node lives at that address now.
      if (called?.connection === connection) called.connection = undefined;
      if (called?.standbyConnection === connection) called.standbyConnection = undefined;
      connection.close(false);
    }
  }

  /** Returns the hello once its sender has proven its key. Counts callers that cannot. */
  #verifyCaller(
    access: PeerAccess,
    frame: Record<string, unknown>,
    connection: AcceptedConnection,
  ): Record<string, unknown> | undefined {
    const peer = readNode(frame['hello']);
    if (peer) {
      if (access.allows(peer.key)) this.#challenge(frame, peer.key, connection);
      else this.#stats.forged++;
      return undefined;
    }
    const pending = this.#pending.get(connection.routingId);
    if (!pending || typeof frame['proof'] !== 'string') return frame;
    this.#pending.delete(connection.routingId);
    const expected = keyProof(
      access.own,
      pending.key,
      challengeText(pending.nonce, readNode(pending.hello['hello'])?.id),
    );
    if (!access.allows(pending.key) || !equalProofs(expected, frame['proof'])) {
      this.#stats.forged++;
      return undefined;
    }
    connection.key = pending.key;
    connection.token = randomBytes(16).toString('base64url');
    return pending.hello;
  }

  #challenge(hello: Record<string, unknown>, key: string, connection: AcceptedConnection): void {
    const nonce = randomBytes(24).toString('base64url');
    const [oldest] = this.#pending.keys();
    if (this.#pending.size >= MAX_PENDING && oldest !== undefined) this.#pending.delete(oldest);
    this.#pending.set(connection.routingId, { hello, key, nonce });
    this.#answer(connection, { challenge: nonce });
  }

  /** Returns false when the frame is no challenge. */
  #answerChallenge({ challenge }: Record<string, unknown>, connection: OutgoingConnection): boolean {
    if (typeof challenge !== 'string' || !this.#access || connection.key === undefined) return false;
    const proof = keyProof(this.#access.own, connection.key, challengeText(challenge, this.#localNode.id));
    connection.sendHandshake({ proof });
    return true;
  }

  /** True when a welcome on this connection opens a session with this node. */
  #isExpected(node: KnownNode, connection: OutgoingConnection): boolean {
    if (!connection.node) return !node.session;
    return node.connection === connection || node.standbyConnection === connection;
  }

  #answer(connection: AcceptedConnection, data: object): void {
    connection.send(JSON.stringify(data)).catch(() => this.#stats.sendDrops++);
  }
}

/** The text over which a proof is made: the nonce and the caller's id. */
function challengeText(nonce: string, caller: string | undefined): string {
  return `${nonce} ${caller ?? ''}`;
}
