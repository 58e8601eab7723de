import type { Clock, MonotonicMs, Timer } from '../../clock/clock.ts';
import type { OutgoingConnection } from './connector.ts';
import type { NodeInfo } from './node-info.ts';
import type { Session } from './session.ts';

const MAX_NODES = 1024;
/** How long a node is called that never answered, and one that did (ms). */
const NEVER_ANSWERED_MS = 30_000;
const DID_ANSWER_MS = 600_000;

/** A dcs-io node we know of. */
export interface KnownNode {
  info: NodeInfo;
  session: Session | undefined;
  /** Our call to it, until it is answered and for as long as the session lasts. */
  connection: OutgoingConnection | undefined;
  /** Our second call, while the connection of its session brings nothing. */
  standbyConnection: OutgoingConnection | undefined;
  /** Runs while the other side is given the chance to call us. */
  dialBackoff: Timer | undefined;
  answered: boolean;
  /** Since when it has a session, or has none. */
  since: MonotonicMs;
  /** Messages of it that did not arrive, and messages to it that were not sent, in all its sessions. */
  missed: number;
  dropped: number;
}

/** The dcs-io nodes we know of, and those that are gone for good. */
export class Directory {
  readonly #clock: Clock;
  readonly #entries = new Map<string, KnownNode>();
  /** Ids of nodes that left; an id is never used again. */
  readonly #tombstones = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  entries(): Iterable<KnownNode> {
    return this.#entries.values();
  }

  get(id: string): KnownNode | undefined {
    return this.#entries.get(id);
  }

  /** The entry of a node, made if need be; undefined when there are too many. */
  ensure(info: NodeInfo): KnownNode | undefined {
    const known = this.#entries.get(info.id);
    if (known || this.#entries.size >= MAX_NODES) return known;
    const since = this.#clock.now();
    const none = { session: undefined, connection: undefined, standbyConnection: undefined, dialBackoff: undefined };
    const entry: KnownNode = { info, ...none, answered: false, since, missed: 0, dropped: 0 };
    this.#entries.set(info.id, entry);
    return entry;
  }

  /** The node whose server link has these ports, at one of these addresses. */
  atServer(addresses: readonly string[], rx: number, tx: number): NodeInfo | undefined {
    for (const { info } of this.#entries.values()) {
      if (info.server.rx !== rx || info.server.tx !== tx) continue;
      if (addresses.some((address) => info.addresses.includes(address)) || addresses.length === 0) return info;
    }
    return undefined;
  }

  forget(entry: KnownNode): void {
    entry.dialBackoff?.cancel();
    entry.connection?.close(false);
    entry.standbyConnection?.close(false);
    this.#entries.delete(entry.info.id);
  }

  /** The node has said goodbye: whatever still speaks of it is old. */
  tombstone(id: string): void {
    this.#tombstones.add(id);
    const [oldest] = this.#tombstones;
    if (this.#tombstones.size > MAX_NODES && oldest !== undefined) this.#tombstones.delete(oldest);
  }

  hasLeft(id: string | undefined): boolean {
    return id !== undefined && this.#tombstones.has(id);
  }

  /** Forgets who has been out of reach for too long; returns how many. */
  expire(): number {
    const now = this.#clock.now();
    let expired = 0;
    for (const entry of this.#entries.values()) {
      const patience = entry.answered ? DID_ANSWER_MS : NEVER_ANSWERED_MS;
      if (entry.session || now - entry.since <= patience) continue;
      expired++;
      this.forget(entry);
    }
    return expired;
  }
}
