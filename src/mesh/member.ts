import type { Bus } from '../bus/bus.ts';
import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { freezeDeep, isRecord } from '../message/envelope.ts';
import type { NodeAbout, NodeMessage } from '../message/payloads.ts';
import { LocalNode, type NodeInfo } from './local-node.ts';
import type { MeshSettings } from './options.ts';
import { type PeerEvent, type PeerListener, Peers } from './peer/peers.ts';
import type { EndReason, Session } from './peer/session.ts';
import { V1Processes } from './peer/subscription-sync.ts';
import { Router } from './routing/router.ts';
import { AccessControl } from './security/access-control.ts';
import { isLoopback } from './transport/addresses.ts';
import type { KeyPair, SocketFactory } from './transport/socket-factory.ts';
import { V1Network } from './v1/v1-network.ts';

/** Interval of NodeMessage heartbeats (ms); sessions notice a death much sooner. */
const HEARTBEAT_MS: DurationMs = 5000;

/** The program in which a member runs. Its methods must not throw. */
export interface MemberListener {
  /** Returns the pins and health that this node tells others. */
  about(): NodeAbout;
  onPeerUp(peer: NodeInfo): void;
  onPeerDown(peer: NodeInfo, reason: EndReason): void;
  onGap(peer: NodeInfo, missed: number): void;
  onDropped(peer: NodeInfo, messages: number): void;
}

/**
 * A running member of the mesh. It has one session with each dcs-io node (`Peers`), links with v1 processes (`V1Network`), and
 * a `Router` between them and the local bus.
 */
export class Member implements PeerListener {
  readonly peers: Peers;
  readonly presence: Presence;
  readonly v1: V1Network;
  readonly v1Processes: V1Processes;
  readonly #sockets: SocketFactory;
  readonly #settings: MeshSettings;
  readonly #listener: MemberListener;
  readonly #localNode: LocalNode;
  readonly #router: Router;
  readonly #accessControl: AccessControl | undefined;
  #stopped = false;

  /** `own`: this node's keys, when its sessions are encrypted. */
  constructor(
    bus: Bus,
    sockets: SocketFactory,
    settings: MeshSettings,
    own: KeyPair | undefined,
    listener: MemberListener,
  ) {
    const { clock } = bus;
    const { security, insecure, brokers, listen } = settings;
    this.#sockets = sockets;
    this.#settings = settings;
    this.#listener = listener;
    this.#localNode = new LocalNode(clock, settings, own?.publicKey);
    this.#router = new Router(bus, this.#localNode.id, sockets.stats, sockets.log);
    this.v1Processes = new V1Processes(clock);
    this.#accessControl = own && security && new AccessControl(security.keys, own, clock, sockets);
    const scope = isLoopback(listen) && brokers.length === 0 ? 'machine' : 'network';
    this.peers = new Peers(sockets, this.#router, this.#localNode, this.v1Processes, this.#accessControl, scope, this);
    this.#accessControl?.onRevoked((key) => this.peers.revoke(key));
    const localOnly = this.#accessControl !== undefined && !insecure;
    this.v1 = new V1Network(sockets, this.#router, this.#localNode, this.v1Processes, this.peers, settings, localOnly);
    this.presence = new Presence(clock, this.#localNode, this.#router, () => listener.about());
  }

  /** Returns the description that other nodes have of this process. */
  get info(): NodeInfo {
    return this.#localNode.info();
  }

  /** Resolves once the link to the broker of this machine works, when that is another process; or when it is stopped. */
  async start(): Promise<void> {
    await this.#accessControl?.start();
    this.#localNode.setPorts(await this.v1.bind(), await this.peers.bind(this.#settings.listen));
    if (this.#stopped) return;
    this.v1.connect();
    if (this.#accessControl)
      for (const { host, rx } of this.#settings.brokers) this.peers.connector.dialBroker(host, rx);
    this.peers.start();
    await this.v1.election.start();
    if (this.#stopped) return;
    this.presence.start();
    this.v1.start();
  }

  /** Announces the leave and closes every socket; what was sent may still leave for `linger` ms. */
  async stop(linger: DurationMs): Promise<void> {
    this.#stopped = true;
    this.presence.stop();
    this.#router.close();
    await Promise.all([this.peers.stop(linger), this.v1.stop(linger)]);
    this.#accessControl?.close();
  }

  onPeerEvent(session: Session, event: PeerEvent): void {
    const { peer } = session;
    switch (event.type) {
      case 'up':
        this.#listener.onPeerUp(peer);
        this.presence.sendBirth(session);
        break;
      case 'down':
        this.v1.refreshBrokerLinks();
        this.#listener.onPeerDown(peer, event.reason);
        this.presence.announceLeave(peer);
        break;
      case 'settled':
        this.v1.refreshBrokerLinks();
        this.v1.release(peer);
        break;
      case 'birth':
        this.presence.onBirth(session, event.data);
        break;
      case 'gap':
        this.#sockets.log.warn(
          { peer: peer.name, missed: event.missed },
          'messages of a peer were lost; asking for its last values',
        );
        this.#listener.onGap(peer, event.missed);
        break;
      case 'dropped':
        this.#listener.onDropped(peer, event.messages);
    }
  }

  onKeyRefused(): void {
    this.#sockets.log.debug({}, 'another node does not allow the key of this one');
  }
}

/** Sends birth, heartbeat and leave of this node as messages on the bus, for programs that show or count nodes. */
export class Presence {
  readonly #clock: Clock;
  readonly #localNode: LocalNode;
  readonly #router: Router;
  readonly #about: () => NodeAbout;
  #timer: Timer | undefined;

  constructor(clock: Clock, localNode: LocalNode, router: Router, about: () => NodeAbout) {
    this.#clock = clock;
    this.#localNode = localNode;
    this.#router = router;
    this.#about = about;
  }

  start(): void {
    this.#send('birth');
    this.#scheduleHeartbeat();
  }

  stop(): void {
    if (!this.#timer) return;
    this.#timer.cancel();
    this.#timer = undefined;
    this.#send('leave');
  }

  /** Sends a heartbeat now: somebody has just come and asks. */
  announce(): void {
    this.#send('heartbeat');
  }

  /** Tells a new peer about this node. */
  sendBirth(session: Session): void {
    session.sendControl({ birth: this.#describe('birth') });
  }

  /** Tells the local actors what a peer says about itself. */
  onBirth({ peer }: Session, data: unknown): void {
    if (isRecord(data) && data['node'] === peer.id && freezeDeep(data)) this.#tellActors(peer.id, data);
  }

  /** Tells the local actors that a peer is gone: a dead one cannot say so. */
  announceLeave({ id, name, boot }: NodeInfo): void {
    const leave: NodeMessage = { event: 'leave', node: id, name, boot, pins: [] };
    this.#tellActors(id, leave);
  }

  #describe(event: NodeMessage['event']): NodeMessage {
    return this.#localNode.describe(event, this.#about());
  }

  #send(event: NodeMessage['event']): void {
    this.#router.send(this.#localNode.envelope({ NodeMessage: this.#describe(event) }));
  }

  #tellActors(node: string, data: object): void {
    this.#router.deliverLocally({ ...this.#localNode.envelope({ NodeMessage: data }), sender: [node] });
  }

  #scheduleHeartbeat(): void {
    this.#timer = this.#clock.after(HEARTBEAT_MS, () => {
      this.announce();
      this.#scheduleHeartbeat();
    });
  }
}
