import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import { isRecord } from '../../message/envelope.ts';
import { DelayEstimate, FailureDetector } from '../liveness/failure-detector.ts';
import { type PingedPeer, PingMonitor, type PingSocket } from '../liveness/pings.ts';
import { type NodeInfo, readNodes } from '../local-node.ts';
import { Subscription } from '../routing/subscription.ts';
import type { MeshStats } from '../stats.ts';
import type { Connection, ConnectionUser } from './acceptor.ts';
import { Outbox, type OutboxOwner } from './outbox.ts';

/** Longest time between two frames to a peer of this machine (ms), and to one behind a network, which may lose some. */
const HEARTBEAT_MS = 600;
const NETWORK_HEARTBEAT_MS = 150;
/** A peer that is silent for so long is dead or hangs (ms). */
const SILENCE_MS = 1800;
/** After so much silence the peer is pinged beside the connection (ms). */
const SUSPECT_MS = 400;
/**
 * Messages wait this long after a session has opened (ms): what the peer sent just before, through a broker, must not be
 * overtaken by what it sends directly now.
 */
const OPEN_HOLD_MS = 30;
/**
 * Time that the peer's earlier messages on other ways may still take after its first frame here (ms). The accepting end has
 * the session before the dialling end does. If it gave up the other ways at once, messages sent there until then were lost.
 */
const SETTLE_MS = 100;
/** Time within which frames that arrived before the disconnect are read (ms). */
const DRAIN_MS = 50;
/** Longest time that a peer that does not read may delay our leave (ms). */
const LEAVE_MS = 200;
/** Most process ids in one `near` list. */
const MAX_IDS = 4096;

/** Why a session with another node ended. */
export type EndReason = 'leave' | 'silent' | 'disconnected' | 'replaced' | 'revoked' | 'stopped';

export type SessionEvent =
  /** The peer wants other messages now, or gets messages of other processes directly. `before`: its old subscription. */
  | { readonly type: 'subscription'; readonly before: Subscription }
  /** The peer knows these nodes. */
  | { readonly type: 'nodes'; readonly nodes: readonly NodeInfo[] }
  /** The peer describes itself and its pins: data of a NodeMessage, unchecked. */
  | { readonly type: 'birth'; readonly data: unknown }
  /** So many messages of the peer were lost. It has been asked for its last reports. */
  | { readonly type: 'gap'; readonly missed: number }
  /** The peer lost messages and asks for the last reports. */
  | { readonly type: 'sync-request' }
  /** So many messages to the peer were dropped, because it does not read. */
  | { readonly type: 'dropped'; readonly messages: number }
  /** The peer lives, but the connection brings nothing, one way or the other: a second connection may. */
  | { readonly type: 'stalled' }
  /** The peer says how many messages it had sent on the connection that this one replaced. */
  | { readonly type: 'sent-before'; readonly sent: number }
  /** Everything the peer sends comes on this session now: the other ways to it may be given up. */
  | { readonly type: 'settled' }
  | { readonly type: 'ended'; readonly reason: EndReason };

export interface SessionListener {
  /** Must not throw. */
  onSessionEvent(session: Session, event: SessionEvent): void;
}

export interface MessageReceiver {
  /** Takes one message of a peer. `queueingDelay`: how long it was delayed on its way (ms). Must not throw. */
  receive(message: unknown, session: Session, queueingDelay: DurationMs): void;
}

/** The objects that all sessions of a process share. */
export interface SessionContext {
  readonly clock: Clock;
  readonly stats: MeshStats;
  readonly messages: MessageReceiver;
  readonly listener: SessionListener;
}

/** A peer as its hello or welcome describes it. */
export interface PeerState {
  readonly peer: NodeInfo;
  readonly subscription: Subscription;
  /** Ids of the processes whose messages the peer gets directly, without our help. */
  readonly directlyReachable: ReadonlySet<string>;
}

/** The way to the peer: `remote` means behind a network. Only then it is pinged, through `socket`, at `host`. */
export interface PeerPath {
  readonly remote: boolean;
  readonly socket?: PingSocket;
  /** The peer's address; `undefined` when the peer dialled us: its first ping tells. */
  readonly host?: string | undefined;
}

/**
 * The link with another dcs-io node over one connection, both ways (PROTOCOL.md). Messages are numbered, so that no loss goes
 * unnoticed. Heartbeats make the death or hang of the peer known within 2 s. The peer is sent only what it subscribes to.
 */
export class Session implements ConnectionUser, OutboxOwner, PingedPeer {
  readonly peer: NodeInfo;
  readonly connection: Connection;
  subscription: Subscription;
  /** Ids of the processes whose messages the peer gets directly, without our help. */
  directlyReachable: ReadonlySet<string>;
  /** The subscription we announced to the peer last, as text. */
  lastAnnounced = '';
  /** Everything the peer sends comes on this session. */
  settled = false;
  readonly #context: SessionContext;
  readonly #outbox: Outbox;
  readonly #delay = new DelayEstimate();
  readonly #failureDetector = new FailureDetector(SILENCE_MS);
  readonly #pings: PingMonitor | undefined;
  readonly #heartbeatPeriod: DurationMs;
  #nextSerial = 0;
  #lastFrameAt: MonotonicMs;
  #peerSpoke = false;
  #settleTimer: Timer | undefined;
  #disconnected = false;
  #replaced = false;
  #ended = false;

  constructor(context: SessionContext, connection: Connection, state: PeerState, path: PeerPath) {
    this.#context = context;
    this.#heartbeatPeriod = path.remote ? NETWORK_HEARTBEAT_MS : HEARTBEAT_MS;
    this.connection = connection;
    this.peer = state.peer;
    this.subscription = state.subscription;
    this.directlyReachable = state.directlyReachable;
    this.#lastFrameAt = context.clock.now();
    this.#outbox = new Outbox(context.clock, connection, OPEN_HOLD_MS, this);
    if (path.remote && path.socket) this.#pings = new PingMonitor(path.socket, context.clock, path.host, this);
    if (this.#pings?.offer) this.sendControl({ ping: this.#pings.offer });
  }

  /** Round trip of the last ping; `undefined` within a machine and while no ping was answered. */
  get roundTripMs(): DurationMs | undefined {
    return this.#pings?.roundTripMs;
  }

  /** Number of messages received. */
  get received(): number {
    return this.#nextSerial;
  }

  /** Number of messages sent. */
  get sent(): number {
    return this.#outbox.numbered;
  }

  /** True when the peer gets the messages of this process directly, or is that process. */
  reachesDirectly(id: string | undefined): boolean {
    return id !== undefined && (id === this.peer.id || this.directlyReachable.has(id));
  }

  /** Sends one encoded envelope. `urgent`: at once, not together with the others of this turn of the event loop. */
  post(text: string, urgent: boolean): void {
    if (!this.#replaced && !this.#ended) this.#outbox.post(text, urgent);
  }

  /** Sends a control frame. */
  sendControl(data: object): void {
    if (!this.#ended) this.#outbox.control(JSON.stringify(data));
  }

  /** Takes the peer's clock from its hello or welcome: the delay of later frames is measured against it. */
  compareClocks(theirs: MonotonicMs): void {
    this.#delay.queueingDelay(theirs, this.#context.clock.now());
  }

  /** Handles one frame of the peer. */
  receive(frame: unknown): void {
    if (this.#ended) return;
    if (!isRecord(frame)) {
      this.#context.stats.malformed++;
      return;
    }
    const now = this.#context.clock.now();
    this.#lastFrameAt = now;
    if (frame['hello'] !== undefined) return; // repeated before our welcome had arrived
    if (!this.#peerSpoke) this.#onFirstFrame();
    const { s, t, m } = frame;
    if (isCount(s) && typeof t === 'number') {
      const queueingDelay = this.#delay.queueingDelay(t, now);
      this.#failureDetector.noteDelay(queueingDelay, now);
      this.#onMessages(s, Array.isArray(m) ? m : [], queueingDelay);
    } else if (!this.#onSubscription(frame) && !this.#onControl(frame)) this.#context.stats.malformed++;
  }

  /** Call it several times a second. `ownStall`: this process did not run, so the peer's silence means nothing yet. */
  tick(now: MonotonicMs, ownStall: boolean): void {
    if (this.#ended) return;
    if (ownStall) this.#lastFrameAt = Math.max(this.#lastFrameAt, now - this.#heartbeatPeriod);
    const silence = now - this.#lastFrameAt;
    if (!this.#replaced) this.#pings?.tick(now, silence > SUSPECT_MS, silence > SILENCE_MS);
    const verdict = this.#failureDetector.verdict(silence, now, this.#pings);
    if (verdict === 'lost') {
      this.#pings?.giveUp();
      this.end('silent');
      return;
    }
    if (this.#replaced) return;
    if (verdict === 'stalled') this.#emit({ type: 'stalled' });
    if (now - this.#outbox.lastSent >= this.#heartbeatPeriod) this.#outbox.heartbeat();
  }

  /** Another connection has taken over: what is under way on this one still counts, and nothing more is sent on it. */
  markReplaced(): void {
    this.#outbox.flush(true);
    this.#replaced = true;
  }

  /** Reports a loss of messages and asks the peer for its last reports. */
  reportGap(missed: number): void {
    this.#emit({ type: 'gap', missed });
    this.sendControl({ sync: true });
  }

  /** The connection has broken. This event may overtake frames that arrived before it, such as a final `bye`. */
  onDisconnect(): void {
    if (this.#disconnected) return;
    this.#disconnected = true;
    this.#drainThenEnd();
  }

  onDropped(messages: number): void {
    this.#emit({ type: 'dropped', messages });
  }

  onPeerNotReceiving(): void {
    this.#emit({ type: 'stalled' });
  }

  onPeerGaveUp(): void {
    this.end('disconnected');
  }

  /** Ends the session. What waits to be sent is dropped, never sent later. Idempotent. */
  end(reason: EndReason): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#settleTimer?.cancel();
    this.#outbox.close();
    this.#pings?.close();
    this.connection.close(reason === 'stopped');
    this.#emit({ type: 'ended', reason });
  }

  /** Sends what is left and `bye`, then ends; takes at most 200 ms. */
  async leave(): Promise<void> {
    if (this.#ended) return;
    this.#outbox.flush(true);
    this.sendControl({ bye: 'leave' });
    await this.#outbox.drained(LEAVE_MS);
    this.end('stopped');
  }

  #emit(event: SessionEvent): void {
    this.#context.listener.onSessionEvent(this, event);
  }

  #drainThenEnd(): void {
    const lastFrameAt = this.#lastFrameAt;
    this.#context.clock.after(DRAIN_MS, () => {
      if (this.#lastFrameAt > lastFrameAt) this.#drainThenEnd();
      else this.end('disconnected');
    });
  }

  #onFirstFrame(): void {
    this.#peerSpoke = true;
    this.#settleTimer = this.#context.clock.after(SETTLE_MS, () => {
      if (this.settled || this.#replaced) return;
      this.settled = true;
      this.#emit({ type: 'settled' });
    });
  }

  #onMessages(first: number, messages: readonly unknown[], queueingDelay: DurationMs): void {
    const missed = first - this.#nextSerial;
    if (missed < 0) {
      this.#context.stats.malformed++;
      return;
    }
    this.#nextSerial = first + messages.length;
    if (missed > 0) this.reportGap(missed);
    for (const message of messages) this.#context.messages.receive(message, this, queueingDelay);
  }

  /** Handles `want` and `near`. Returns false when the frame has neither. */
  #onSubscription(frame: Record<string, unknown>): boolean {
    const subscription = Subscription.parse(frame['want']);
    const directlyReachable = readProcessIds(frame['near']);
    if (!subscription && !directlyReachable) return false;
    const before = this.subscription;
    this.subscription = subscription ?? before;
    this.directlyReachable = directlyReachable ?? this.directlyReachable;
    this.#emit({ type: 'subscription', before });
    return true;
  }

  /** Handles the other control frames. Returns false when the frame is malformed. */
  #onControl({ nodes, sync, bye, birth, former, ping }: Record<string, unknown>): boolean {
    if (nodes !== undefined) this.#emit({ type: 'nodes', nodes: readNodes(nodes) });
    else if (sync === true) this.#emit({ type: 'sync-request' });
    else if (bye !== undefined) this.end(bye === 'leave' ? 'leave' : 'disconnected');
    else if (birth !== undefined) this.#emit({ type: 'birth', data: birth });
    else if (isCount(former)) this.#emit({ type: 'sent-before', sent: former });
    else if (ping !== undefined) return this.#pings?.acceptOffer(ping) ?? true;
    else return false;
    return true;
  }
}

/** Reads a peer's state from its hello or welcome. */
export function readPeerState(peer: NodeInfo, frame: Record<string, unknown>): PeerState {
  return {
    peer,
    subscription: Subscription.parse(frame['want']) ?? Subscription.everything,
    directlyReachable: readProcessIds(frame['near']) ?? new Set(),
  };
}

/** True for a number of messages. Any other JSON number would corrupt the numbering. */
function isCount(found: unknown): found is number {
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0;
}

function readProcessIds(found: unknown): ReadonlySet<string> | undefined {
  if (!Array.isArray(found) || found.length > MAX_IDS) return undefined;
  return new Set(found.filter((id) => typeof id === 'string' && id.length <= 64));
}
