import type { Bus } from '../bus/bus.ts';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { NodeAbout } from '../message/payloads.ts';
import { LocalNode, Presence } from './local-node.ts';
import { type MemberEvents, type MeshOptions, v1Listen } from './options.ts';
import type { NodeInfo } from './peer/node-info.ts';
import { Peers } from './peer/peers.ts';
import type { Session } from './peer/session.ts';
import { Router } from './routing/router.ts';
import { Subscription } from './routing/subscription.ts';
import { AccessControl } from './security/access-control.ts';
import type { KeyPair } from './security/keys.ts';
import { isLoopback } from './transport/addresses.ts';
import type { SocketFactory } from './transport/socket-factory.ts';
import { BrokerLinks, BrokerRole } from './v1/broker.ts';
import { CONTROL, type Contact, Introductions, sameContact } from './v1/introductions.ts';
import type { PairHooks, SocketPair } from './v1/socket-pair.ts';
import { DirectSenders, V1Links } from './v1/v1-links.ts';

const SWEEP_MS = 2000;
/** How long a new broker waits for others to arrive before it introduces itself to them (ms). */
const SETTLE_MS = 200;
/** How long after a broker's death those who lost it may take to come to the new one (ms). */
const RETURN_MS = 2000;
/** How long a dcs-io node gets for a session before we talk v1 with it (ms). */
const SESSION_MS = 2000;
/** How long after a stop or hang of this process commands on v1 links, which carry no age, are taken for old (ms). */
const RESUME_GRACE_MS = 500;

/**
 * A running member of the mesh: one session with each dcs-io node (`Peers`), the links of v1 with everybody else
 * (`V1Links`), and the part of the address broker, or a link to it (`BrokerRole`).
 */
export class Member {
  readonly role: BrokerRole;
  readonly peers: Peers;
  readonly #clock: Clock;
  readonly #accessControl: AccessControl | undefined;
  readonly #options: MeshOptions;
  readonly #localNode: LocalNode;
  readonly #v1Links: V1Links;
  readonly #links: BrokerLinks;
  readonly #introductions: Introductions;
  readonly directSenders: DirectSenders;
  readonly presence: Presence;
  readonly #router: Router;
  #sweeper: Timer | undefined;
  #settling: Timer | undefined;
  #electedAt = Number.NEGATIVE_INFINITY;
  #resumeGraceUntil: MonotonicMs = 0;
  #stopped = false;

  /** `own`: this node's keys, when its sessions are encrypted. */
  constructor(
    bus: Bus,
    sockets: SocketFactory,
    options: MeshOptions,
    own: KeyPair | undefined,
    about: () => NodeAbout,
    events: MemberEvents,
  ) {
    this.#clock = bus.clock;
    if (own && options.security)
      this.#accessControl = new AccessControl(options.security.keys, own, this.#clock, sockets, (key) =>
        this.peers.revoke(key),
      );
    this.#options = options;
    const changed = () => this.peers.refresh(true);
    const hooks: PairHooks = {
      frame: (text, pair) => this.#router.receive(text, pair),
      subscribed: changed,
      unsubscribed: changed,
    };
    this.#localNode = new LocalNode(this.#clock, options, own?.publicKey);
    this.#v1Links = new V1Links(sockets, this.#clock, options, this.#accessControl !== undefined && !options.insecure, {
      ...hooks,
      joined: (pair) => this.#links.greet(pair),
      parted: (pair) => this.#parted(pair),
      lost: () => this.directSenders.forget(),
    });
    this.role = new BrokerRole(
      sockets,
      this.#clock,
      { ...options, listen: v1Listen(options) },
      {
        ...hooks,
        joined: (pair) => this.#links.greet(pair),
        parted: (pair, forGood) => {
          this.#parted(pair);
          if (forGood) this.#links.drop(pair);
        },
        elected: () => this.#becameBroker(),
        subscribed: () => {
          changed();
          this.#introduceToReturning();
        },
      },
    );
    this.#links = new BrokerLinks(this.#clock, {
      introduce: () => this.#introductions.introduce(),
      session: (id) => this.peers.session(id),
      greeted: (pair) => {
        if (pair === this.role.localBroker) this.role.greeted();
      },
    });
    this.directSenders = new DirectSenders(this.#clock, () => this.peers.refresh(false));
    this.#introductions = new Introductions({
      stats: sockets.stats,
      self: () => this.#localNode.contact(),
      node: () => this.#localNode.info(),
      known: () => this.#v1Links.dialer.verified(),
      announce: (data) => this.#announce(data),
      met: (node) => this.peers.learn(node),
      answered: (contact) => this.#dial(contact),
      // A newcomer connects to those who were there before, unless it cannot reach us. One without an address is on a
      // machine that has only loopback: ours, if nobody passed its introduction on.
      introduced: (contact, direct) => {
        if (!this.#localNode.contact() && (contact.addresses.length > 0 || direct)) this.#dial(contact);
      },
    });
    this.#router = new Router(bus, {
      id: this.#localNode.id,
      stats: sockets.stats,
      log: sockets.log,
      outlets: () => this.#outlets(),
      relays: (control) => this.#relays(control),
      sessions: () => this.peers.sessions(),
      control: (envelope, from) => {
        if (!this.#v1Links.proxies.includes(from)) this.#introductions.handle(envelope, this.#links.isSpokenFor(from));
      },
      echo: (envelope, from) => this.#links.echoed(from, envelope.sender.at(-1)),
      heard: (id) => this.directSenders.hear(id),
      refusal: (envelope, from) => this.#accessControl?.refusal(envelope, from.connection.key),
      resumedRecently: () => this.#clock.now() < this.#resumeGraceUntil,
      hasLeft: (id) => this.peers.directory.hasLeft(id),
      mayRead: (envelope, peer) => this.#accessControl?.mayRead(envelope, peer.connection.key) ?? true,
      reject: (envelope, to, code, reason) => {
        const answer = this.#localNode.refusal(envelope, code, reason);
        if (to) this.#router.sendTo(to, answer);
        else this.#router.send(answer);
      },
      interestChanged: changed,
    });
    this.peers = new Peers(sockets, {
      clock: this.#clock,
      stats: sockets.stats,
      local: isLoopback(options.listen) && options.brokers.length === 0,
      self: () => this.#localNode.info(),
      subscriptionFor: (from) => this.#subscriptionFor(from),
      directSenders: () => this.directSenders.ids(),
      message: (session, found, waited) => this.#router.receiveDirect(found, session, waited),
      changed: (session, before) => this.#router.snapshot(session, before),
      birth: (session, found) => this.presence.onBirth(session, found),
      gap: (session, missed) => {
        sockets.stats.missed += missed;
        sockets.log.warn(
          { peer: session.peer.name, missed },
          'messages of a peer were lost; asking for its last values',
        );
        events.gap(session.peer, missed);
      },
      sync: (session) => this.#router.snapshot(session),
      dropped: (session, messages) => {
        sockets.stats.dropped += messages;
        events.drop(session.peer, messages);
      },
      accessControl: () => this.#accessControl,
      stalled: () => {
        this.#resumeGraceUntil = this.#clock.now() + RESUME_GRACE_MS;
      },
      opened: (session, fresh) => {
        this.#router.snapshot(session);
        if (!fresh) return;
        events.peerUp(session.peer);
        this.presence.sendBirth(session);
      },
      settled: ({ peer }) => {
        this.#links.refresh();
        this.#v1Links.dialer.release(peer);
      },
      closed: (session, reason) => {
        this.#links.refresh();
        events.peerDown(session.peer, reason);
        this.presence.announceLeave(session.peer);
      },
    });
    this.presence = new Presence(this.#clock, {
      describe: (event) => this.#localNode.describe(event, about()),
      send: (payload) => this.#router.send(this.#localNode.envelope(payload)),
      deliverLocally: (payload, from) =>
        this.#router.deliverLocally({ ...this.#localNode.envelope(payload), sender: [from] }),
    });
  }

  /** What others know of this process. */
  get info(): NodeInfo {
    return this.#localNode.info();
  }

  /** Resolves once the broker of this machine, if it is another process, hears us and we it; or stops at a stop. */
  async start(): Promise<void> {
    await this.#accessControl?.start();
    this.#localNode.setPorts(await this.#v1Links.bind(), await this.peers.bind(this.#options.listen));
    if (this.#stopped) return;
    this.#v1Links.connect();
    if (this.#accessControl)
      for (const { host, rx } of this.#options.brokers) this.peers.connector.dialBroker(host, rx);
    this.peers.start();
    await this.role.start();
    if (this.#stopped) return;
    if (this.role.isBroker) this.#becameBroker();
    this.presence.start();
    this.#sweep();
  }

  /** Says goodbye and closes every socket; what was sent goes on leaving for up to `linger` ms. */
  async stop(linger: DurationMs): Promise<void> {
    this.#stopped = true;
    this.presence.stop();
    for (const timer of [this.#sweeper, this.#settling]) timer?.cancel();
    this.#links.stop();
    this.#router.close();
    await this.peers.stop(linger);
    await this.role.stop(linger);
    this.#accessControl?.close();
    this.#v1Links.close(linger);
  }

  /**
   * v1 sends on server, client and broker. On the broker clients as well, unless there is a session with that broker: it
   * passes it on to those we are not linked to yet, or cannot be.
   */
  *#outlets(): Iterable<SocketPair> {
    yield* this.#relays(false);
    yield* this.#links.outlets();
  }

  *#relays(control: boolean): Iterable<SocketPair> {
    yield this.role.serving;
    yield* this.#v1Links.relays(control);
  }

  /** What our actors listen to; everything if there are v1 processes; and what peers want that do not hear `from`. */
  #subscriptionFor(from: Session | undefined): Subscription {
    for (const pair of this.#relays(false)) if (pair.listeners > 0) return Subscription.everything;
    let want = Subscription.fromInterest(this.#router.interest());
    for (const session of this.peers.sessions()) {
      if (from && session !== from && !session.reachesDirectly(from.peer.id)) want = want.union(session.subscription);
    }
    return want;
  }

  #parted(pair: SocketPair): void {
    this.directSenders.forget();
    this.#links.lost(pair);
  }

  #announce(data: Record<string, unknown>): string {
    const { payload, ...rest } = this.#localNode.envelope({ [CONTROL]: data });
    const text = JSON.stringify({ payload, ...rest });
    for (const pair of [this.role.serving, ...this.#links.all()]) pair.announce(text);
    return rest.msg_id;
  }

  #becameBroker(): void {
    this.#electedAt = this.#clock.now();
    this.#sweep();
  }

  #dial(contact: Contact): void {
    const self = this.#localNode.contact();
    if (self && sameContact(self, contact)) return;
    const node = this.peers.directory.atServer(contact.addresses, contact.ports.rx, contact.ports.tx);
    if (!node) this.#v1Links.connectTo(contact);
    else if (!this.peers.session(node.id)) {
      // It gets a session; v1 is for the case that it gets none.
      this.#clock.after(SESSION_MS, () => {
        if (this.peers.directory.get(node.id) && !this.peers.session(node.id)) this.#v1Links.connectTo(contact);
      });
    }
  }

  /** Those who lost the old broker come to the new one within a moment, and v1 says nothing: we introduce ourselves. */
  #introduceToReturning(): void {
    if (this.#clock.now() - this.#electedAt > RETURN_MS || this.#settling) return;
    this.#settling = this.#clock.after(SETTLE_MS, () => {
      this.#settling = undefined;
      this.#introductions.introduce();
    });
  }

  #sweep(): void {
    this.#sweeper?.cancel();
    if (this.role.isBroker && !this.#options.insecure) this.peers.bindMore(this.#options.rx);
    this.#sweeper = this.#clock.after(SWEEP_MS, () => {
      this.#v1Links.dialer.sweep();
      this.directSenders.sweep();
      this.#sweep();
    });
  }
}
