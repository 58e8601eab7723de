import type { Clock, MonotonicMs, Timer } from '../../clock/clock.ts';
import type { NodeInfo } from '../local-node.ts';
import type { Connection } from './acceptor.ts';
import type { Session } from './session.ts';

const MAX_NODES = 1024;
/** Time after which an unreachable node is forgotten (ms): one that never answered, and one that did. */
const NEVER_ANSWERED_MS = 30_000;
const DID_ANSWER_MS = 600_000;

/** A dcs-io node that this process knows of. */
export interface KnownNode {
  info: NodeInfo;
  session: Session | undefined;
  /** Our connection to it, while it is dialled and for as long as its session lasts. */
  connection: Connection | undefined;
  /** Our second connection, while the first one brings nothing. */
  standbyConnection: Connection | undefined;
  /** Runs while the other node is given time to dial us. */
  dialBackoff: Timer | undefined;
  answered: boolean;
  /** Since when it has a session, or has none. */
  since: MonotonicMs;
  /** Messages of it that were lost, and messages to it that were dropped, in all its sessions. */
  missed: number;
  dropped: number;
}

/** The dcs-io nodes that this process knows of, and tombstones of those that have left. */
export class Directory {
  readonly clock: Clock;
  readonly #nodes = new Map<string, KnownNode>();
  /** Ids of nodes that left; an id is never used again. */
  readonly #tombstones = new Set<string>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  nodes(): Iterable<KnownNode> {
    return this.#nodes.values();
  }

  /** Sessions that are open now. */
  *sessions(): Iterable<Session> {
    for (const { session } of this.#nodes.values()) if (session) yield session;
  }

  get(id: string): KnownNode | undefined {
    return this.#nodes.get(id);
  }

  /** Returns the entry of a node, made when needed; `undefined` when there are too many. */
  ensure(info: NodeInfo): KnownNode | undefined {
    const known = this.#nodes.get(info.id);
    if (known || this.#nodes.size >= MAX_NODES) return known;
    const node: KnownNode = {
      ...{ info, answered: false, since: this.clock.now(), missed: 0, dropped: 0 },
      ...{ session: undefined, connection: undefined, standbyConnection: undefined, dialBackoff: undefined },
    };
    this.#nodes.set(info.id, node);
    return node;
  }

  /** The node whose v1 server link has these ports, at one of these addresses. */
  atServer(addresses: readonly string[], rx: number, tx: number): NodeInfo | undefined {
    for (const { info } of this.#nodes.values()) {
      if (info.server.rx !== rx || info.server.tx !== tx) continue;
      if (addresses.some((address) => info.addresses.includes(address)) || addresses.length === 0) return info;
    }
    return undefined;
  }

  forget(node: KnownNode): void {
    node.dialBackoff?.cancel();
    node.connection?.close(false);
    node.standbyConnection?.close(false);
    this.#nodes.delete(node.info.id);
  }

  /** The node has left: what others still say about it is outdated. */
  tombstone(id: string): void {
    this.#tombstones.add(id);
    const [oldest] = this.#tombstones;
    if (this.#tombstones.size > MAX_NODES && oldest !== undefined) this.#tombstones.delete(oldest);
  }

  hasLeft(id: string | undefined): boolean {
    return id !== undefined && this.#tombstones.has(id);
  }

  /** Forgets nodes that have been unreachable for too long; returns how many. */
  expire(): number {
    const now = this.clock.now();
    let expired = 0;
    for (const node of this.#nodes.values()) {
      const limit = node.answered ? DID_ANSWER_MS : NEVER_ANSWERED_MS;
      if (node.session || now - node.since <= limit) continue;
      expired++;
      this.forget(node);
    }
    return expired;
  }
}
