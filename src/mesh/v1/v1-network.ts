import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import { type Envelope, MAX_SENDERS, parseEnvelope } from '../../message/envelope.ts';
import type { LocalNode, NodeInfo } from '../local-node.ts';
import { type MeshSettings, v1Listen } from '../options.ts';
import type { Peers } from '../peer/peers.ts';
import type { V1Processes } from '../peer/subscription-sync.ts';
import { isCommand } from '../routing/message-filters.ts';
import { RoutedMessage, type Router, type Transport } from '../routing/router.ts';
import { type Contact, type Endpoint, isLoopback, ownAddresses, type Ports } from '../transport/addresses.ts';
import type { SocketFactory } from '../transport/socket-factory.ts';
import { BrokerElection, BrokerLink, type ElectionListener } from './broker.ts';
import { Dialer } from './dialer.ts';
import {
  answerTo,
  ECHO,
  INTRODUCTION,
  introductionOf,
  isOnThisMachine,
  readIntroduction,
  sameContact,
  withoutLocalContacts,
} from './introductions.ts';
import { SocketPair } from './socket-pair.ts';

const SWEEP_MS = 2000;
/** Time that a new broker waits for others to arrive before it introduces itself to them (ms). */
const SETTLE_MS = 200;
/** Time within which processes that lost the old broker come to the new one (ms). */
const RETURN_MS = 2000;
/** Time that a dcs-io node gets for a session before we connect to its v1 server (ms). */
const SESSION_MS = 2000;
/** Number of our introductions whose answers count: a broker that comes late answers an older one. */
const REMEMBERED = 16;

/**
 * The links of aktos-dcs v1, unencrypted:
 *
 * - serving: the ports of the address broker, while this process is it
 * - server: other processes connect here; its ports are our contact
 * - client: connects to the servers of others
 * - broker links: to the broker of this machine and to those of other machines that the user named
 * - proxies: to brokers behind a tunnel; contacts never pass there, because they mean nothing at the other end
 */
export class V1Network implements Transport, ElectionListener {
  readonly election: BrokerElection;
  readonly #router: Router;
  readonly #clock: Clock;
  readonly #localNode: LocalNode;
  readonly #processes: V1Processes;
  readonly #peers: Peers;
  readonly #settings: MeshSettings;
  readonly #server: SocketPair;
  readonly #client: SocketPair;
  readonly #dialer: Dialer;
  readonly #proxies: readonly { readonly pair: SocketPair; readonly endpoint: Endpoint }[];
  /** The links on which messages of others are passed on. */
  readonly #relays: readonly SocketPair[];
  readonly #namedLinks: readonly BrokerLink[];
  readonly #introductions: string[] = [];
  #electedAt: MonotonicMs = Number.NEGATIVE_INFINITY;
  #sweepTimer: Timer | undefined;
  #settleTimer: Timer | undefined;

  /** `localOnly`: unencrypted links stay on this machine. */
  constructor(
    sockets: SocketFactory,
    router: Router,
    localNode: LocalNode,
    processes: V1Processes,
    peers: Peers,
    settings: MeshSettings,
    localOnly: boolean,
  ) {
    this.#router = router;
    this.#clock = router.clock;
    this.#localNode = localNode;
    this.#processes = processes;
    this.#peers = peers;
    this.#settings = settings;
    const { directory } = peers;
    const { rx, tx, brokers, proxyBrokers } = settings;
    const allowed = ({ host }: Endpoint) => !localOnly || isLoopback(host);
    this.election = new BrokerElection(sockets, directory, { listen: v1Listen(settings), rx, tx }, this);
    this.#server = new SocketPair(sockets, 'server', this);
    this.#client = new SocketPair(sockets, 'client', this);
    this.#dialer = new Dialer(this.#client, this.#clock, sockets);
    this.#proxies = proxyBrokers
      .filter(allowed)
      .map((endpoint) => ({ endpoint, pair: new SocketPair(sockets, 'proxy broker', this) }));
    this.#relays = [this.election.serving, this.#client, this.#server, ...this.#proxies.map(({ pair }) => pair)];
    this.#namedLinks = brokers.filter(allowed).map((endpoint) => new BrokerLink(sockets, directory, endpoint, this));
    for (const endpoint of proxyBrokers.filter((proxy) => !allowed(proxy)))
      sockets.log.error(
        { ...endpoint },
        'with keys, a proxy broker must be the end of a tunnel on this machine; it is ignored',
      );
    router.addTransport(this);
  }

  /** Binds the server link; returns its ports. */
  async bind(): Promise<Ports> {
    for (;;) {
      const ports = await this.#server.bind([v1Listen(this.#settings)], 0, 0);
      if (ports) return ports;
    }
  }

  /** Connects to the brokers that the user named. */
  connect(): void {
    for (const { pair, endpoint } of this.#proxies) pair.connect(endpoint);
    for (const link of this.#namedLinks) link.connect();
  }

  /** Call it when this process takes part in the mesh. */
  start(): void {
    if (this.election.isBroker) this.#electedAt = this.#clock.now();
    this.#sweep();
  }

  async stop(linger: DurationMs): Promise<void> {
    this.#sweepTimer?.cancel();
    this.#settleTimer?.cancel();
    for (const link of this.#namedLinks) link.close(linger);
    await this.election.stop(linger);
    for (const pair of [this.#server, this.#client, ...this.#proxies.map((proxy) => proxy.pair)]) pair.close(linger);
  }

  /** Call it when sessions have come or gone. */
  refreshBrokerLinks(): void {
    for (const link of this.#brokerLinks()) link.refresh();
  }

  /** Disconnects from the v1 server of a node: there is a session with it now. */
  release(node: NodeInfo): void {
    this.#dialer.release(node);
  }

  /**
   * Our own messages go out on every link, except on links to brokers with which we have a session. Messages of others are
   * passed on to the serving, server and client links and to the proxies. Nothing is encoded where nobody subscribes.
   */
  forward(message: RoutedMessage): number {
    let links = 0;
    for (const pair of this.#relays) if (this.#publish(pair, message)) links++;
    if (message.source !== undefined) return links;
    for (const { pair, session } of this.#brokerLinks()) if (!session && this.#publish(pair, message)) links++;
    return links;
  }

  onFrame(text: string, from: SocketPair): void {
    const router = this.#router;
    router.stats.received++;
    const parsed = parseEnvelope(text);
    if (!parsed.ok) {
      router.stats.malformed++;
      router.log.debug({ link: from.role, reason: parsed.reason }, 'a malformed message was dropped');
      return;
    }
    const envelope = parsed.value;
    if (router.isEcho(envelope)) this.#onEcho(envelope, from);
    else if (!router.isDuplicate(envelope)) this.#onEnvelope(envelope, from);
  }

  onUp(pair: SocketPair, endpoint: Endpoint): void {
    if (pair === this.#client) this.#dialer.up(endpoint);
    else this.#brokerLink(pair)?.onProgress();
  }

  onDown(pair: SocketPair, endpoint: Endpoint): void {
    if (pair === this.#client) {
      this.#forgetHeard();
      this.#dialer.down(endpoint);
      return;
    }
    const link = this.#brokerLink(pair);
    if (!link) return;
    this.#forgetHeard();
    link.onDown();
    this.refreshBrokerLinks();
    if (link === this.election.localLink) this.election.onLocalLinkDown();
  }

  onSubscriber(pair: SocketPair, joined: boolean): void {
    const link = this.#brokerLink(pair);
    if (link && joined) link.onProgress();
    if (link) return;
    this.#processes.listening = this.#relays.some(({ subscribers }) => subscribers > 0);
    this.#peers.subscriptionSync.refresh(true);
    if (joined && pair === this.election.serving) this.#introduceToReturning();
  }

  /** Introduces this process to everybody behind the broker links; they answer with their contacts. */
  introduce(): void {
    this.#introductions.push(this.#announce(introductionOf(this.#localNode)));
    if (this.#introductions.length > REMEMBERED) this.#introductions.shift();
  }

  onLocalLinkClosed(): void {
    this.#forgetHeard();
  }

  onElected(): void {
    this.#electedAt = this.#clock.now();
    this.refreshBrokerLinks();
    this.#sweep();
  }

  #onEcho({ sender }: Envelope, from: SocketPair): void {
    const link = this.#brokerLink(from);
    if (!link) return;
    link.confirm(sender.at(-1));
    this.refreshBrokerLinks();
    if (link === this.election.localLink) this.election.confirm();
  }

  #onEnvelope(envelope: Envelope, from: SocketPair): void {
    const router = this.#router;
    if (ECHO in envelope.payload) {
      this.#publish(from, new RoutedMessage(envelope, router.id));
      return;
    }
    if (INTRODUCTION in envelope.payload) {
      if (!this.#proxies.some(({ pair }) => pair === from)) this.#onIntroduction(envelope, from);
      if (envelope.sender.length >= MAX_SENDERS) return;
      const { text } = new RoutedMessage(withoutLocalContacts(envelope), router.id);
      for (const pair of [this.election.serving, this.#client, this.#server]) pair.announce(text);
      return;
    }
    const via = envelope.sender.at(-1);
    if (via !== undefined && this.#processes.hear(via)) this.#peers.subscriptionSync.refresh(false);
    if (isCommand(envelope) && this.#peers.stalls.resumedRecently(this.#clock.now())) {
      router.stats.stale++;
      router.send(
        this.#localNode.refusal(envelope, 'EXPIRED', 'the command may have waited while this process did not run'),
      );
      return;
    }
    router.deliver(envelope, from, via);
  }

  #onIntroduction(envelope: Envelope, from: SocketPair): void {
    const introduction = readIntroduction(envelope);
    if (!introduction?.newcomers && !introduction?.answers) this.#router.stats.badContacts++;
    if (!introduction) return;
    const { node, newcomers, answers, replyTo } = introduction;
    if (node) this.#peers.learn(node);
    // A broker with a session tells dcs-io nodes of each other, so that not every node must answer.
    if (newcomers && !(node && this.#brokerLink(from)?.session))
      this.#announce(answerTo(envelope, this.#localNode, this.#dialer.verified()));
    if (newcomers && node) return;
    for (const contact of newcomers ?? []) this.#onNewcomer(contact, envelope.sender.length === 1);
    if (replyTo === undefined || !this.#introductions.includes(replyTo)) return;
    for (const contact of answers ?? []) this.#connectTo(contact);
  }

  /**
   * A newcomer connects to those that were there before, unless it cannot reach us. A newcomer without an address is on a
   * machine that has only loopback: on ours, when nobody passed its introduction on (`direct`).
   */
  #onNewcomer(contact: Contact, direct: boolean): void {
    if (!this.#localNode.contact() && (contact.addresses.length > 0 || direct)) this.#connectTo(contact);
  }

  #connectTo(contact: Contact): void {
    const own = this.#localNode.contact();
    if (own && sameContact(own, contact)) return;
    const { directory } = this.#peers;
    const node = directory.atServer(contact.addresses, contact.ports.rx, contact.ports.tx);
    if (!node) this.#dial(contact);
    else if (!this.#peers.session(node.id)) {
      // A node gets a session; v1 is for the case that it gets none.
      this.#clock.after(SESSION_MS, () => {
        if (directory.get(node.id) && !this.#peers.session(node.id)) this.#dial(contact);
      });
    }
  }

  /** A process that listens on loopback and names no broker stays on its machine. */
  #dial(contact: Contact): void {
    const own = ownAddresses();
    const here = contact.addresses.length === 0 || isOnThisMachine(contact, own);
    if (!here && isLoopback(v1Listen(this.#settings)) && this.#namedLinks.length === 0) return;
    this.#dialer.dial(contact, own);
  }

  /** Publishes an introduction or its answer. Returns its msg_id. */
  #announce(data: Record<string, unknown>): string {
    const { payload, ...rest } = this.#localNode.envelope({ [INTRODUCTION]: data });
    const text = JSON.stringify({ payload, ...rest });
    this.election.serving.announce(text);
    for (const { pair } of this.#brokerLinks()) pair.announce(text);
    return rest.msg_id;
  }

  #publish(pair: SocketPair, message: RoutedMessage): boolean {
    return pair.subscribers > 0 && pair.publish(message.text);
  }

  #brokerLinks(): readonly BrokerLink[] {
    const { localLink } = this.election;
    return localLink ? [localLink, ...this.#namedLinks] : this.#namedLinks;
  }

  #brokerLink(pair: SocketPair): BrokerLink | undefined {
    for (const link of this.#brokerLinks()) if (link.pair === pair) return link;
    return undefined;
  }

  #forgetHeard(): void {
    if (this.#processes.forgetHeard()) this.#peers.subscriptionSync.refresh(false);
  }

  /** Processes that lost the old broker come to the new one within a moment and say nothing: we introduce ourselves. */
  #introduceToReturning(): void {
    if (this.#clock.now() - this.#electedAt > RETURN_MS || this.#settleTimer) return;
    this.#settleTimer = this.#clock.after(SETTLE_MS, () => {
      this.#settleTimer = undefined;
      this.introduce();
    });
  }

  #sweep(): void {
    this.#sweepTimer?.cancel();
    if (this.election.isBroker && !this.#settings.insecure) this.#peers.bindMore(this.#settings.rx);
    this.#sweepTimer = this.#clock.after(SWEEP_MS, () => {
      this.#dialer.sweep();
      if (this.#processes.sweep()) this.#peers.subscriptionSync.refresh(false);
      this.#sweep();
    });
  }
}
