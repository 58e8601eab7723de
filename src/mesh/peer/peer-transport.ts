import type { DurationMs } from '../../clock/clock.ts';
import { checkEnvelope, type Envelope, isRecord } from '../../message/envelope.ts';
import type { LocalNode } from '../local-node.ts';
import { isCommand } from '../routing/message-filters.ts';
import type { RoutedMessage, Router, Transport } from '../routing/router.ts';
import type { Subscription } from '../routing/subscription.ts';
import type { PeerAccess } from '../security/access-control.ts';
import type { Directory } from './directory.ts';
import type { MessageReceiver, Session } from './session.ts';

/** A command that was queued longer than this on its way is not carried out (ms), with or without ttl. */
const STALE_MS = 2000;

/** The sessions as a transport: checks each message of a peer and sends each message to the peers that want it. */
export class PeerTransport implements Transport, MessageReceiver {
  readonly #router: Router;
  readonly #directory: Directory;
  readonly #localNode: LocalNode;
  readonly #access: PeerAccess | undefined;

  /** `access`: `undefined` while the mesh is not encrypted. */
  constructor(router: Router, directory: Directory, localNode: LocalNode, access: PeerAccess | undefined) {
    this.#router = router;
    this.#directory = directory;
    this.#localNode = localNode;
    this.#access = access;
    router.addTransport(this);
  }

  /**
   * Sends a message to every peer that wants it and does not get it directly from the process it came from. An answer also
   * goes back the way its question came.
   */
  forward(message: RoutedMessage): number {
    const { envelope, source, via } = message;
    const asker = this.#router.askerOf(message);
    let posted = 0;
    let urgent: boolean | undefined;
    for (const session of this.#directory.sessions()) {
      if (session === source) continue;
      if (session.peer.id !== asker && !session.subscription.matches(envelope)) continue;
      if (via !== undefined && (session.reachesDirectly(via) || envelope.sender.includes(session.peer.id))) continue;
      if (!this.#mayRead(envelope, session)) continue;
      urgent ??= message.replyTo !== undefined || isCommand(envelope);
      session.post(message.text, urgent);
      posted++;
    }
    return posted;
  }

  receive(found: unknown, from: Session, queueingDelay: DurationMs): void {
    const router = this.#router;
    router.stats.received++;
    const parsed = checkEnvelope(found);
    if (!parsed.ok) {
      router.stats.malformed++;
      return;
    }
    const envelope = parsed.value;
    const refusal = forgeryOf(envelope, from) ?? this.#access?.refusal(envelope, from.connection.key);
    if (refusal !== undefined) {
      router.stats.forged++;
      router.log.warn(
        { security: 'message', peer: from.peer.name, msg_id: envelope.msg_id },
        `a message was refused: ${refusal}`,
      );
      if (isCommand(envelope)) this.#reject(envelope, from, 'NO_PERMISSION', refusal);
      return;
    }
    if (router.isEcho(envelope) || router.isDuplicate(envelope, from.peer.id)) return;
    const staleness = isCommand(envelope) ? this.#stalenessOf(envelope, queueingDelay) : undefined;
    if (staleness !== undefined) {
      router.stats.stale++;
      this.#reject(envelope, from, 'EXPIRED', staleness);
      return;
    }
    router.deliver(envelope, from, from.peer.id);
  }

  /** Sends a peer the last report of every pin of ours that it wants, except those that `before` matched. */
  sendSnapshot(session: Session, before?: Subscription): void {
    for (const message of this.#router.lastReports()) {
      const { envelope } = message;
      if (!session.subscription.matches(envelope) || before?.matches(envelope)) continue;
      if (this.#mayRead(envelope, session)) session.post(message.text, false);
    }
  }

  #mayRead(envelope: Envelope, { connection }: Session): boolean {
    return this.#access?.mayRead(envelope, connection.key) ?? true;
  }

  /** Tells the sender of a command that it is not carried out. */
  #reject(command: Envelope, to: Session, code: string, reason: string): void {
    to.post(this.#router.prepare(this.#localNode.refusal(command, code, reason)).text, true);
  }

  #stalenessOf(envelope: Envelope, queueingDelay: DurationMs): string | undefined {
    if (queueingDelay > ageLimit(envelope))
      return `the command was queued for ${Math.round(queueingDelay)} ms on its way`;
    return this.#directory.hasLeft(envelope.sender[1]) ? 'the process that sent the command has left' : undefined;
  }
}

/** A session carries only messages that its peer sends: the last sender is the peer, and the msg_id is its creator's. */
function forgeryOf({ sender, msg_id }: Envelope, from: Session): string | undefined {
  if (sender.at(-1) !== from.peer.id) return 'its last sender is not the peer of this session';
  return msg_id.startsWith(`${sender[0]}.`) ? undefined : 'its msg_id is not of its creator';
}

/** Returns the longest time that a command may take on its way (ms). */
function ageLimit({ payload }: Envelope): DurationMs {
  let limit = STALE_MS;
  for (const data of [payload['IoMessage'], payload['SerialPortMessage']]) {
    const ttl = isRecord(data) ? data['ttl'] : undefined;
    if (typeof ttl === 'number' && ttl >= 0) limit = Math.min(limit, ttl * 1000);
  }
  return limit;
}
