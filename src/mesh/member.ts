import type { Bus } from '../bus/bus.ts';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { NodeAbout } from '../message/payloads.ts';
import { isLoopback } from './addresses.ts';
import { BrokerLinks } from './broker-links.ts';
import { BrokerRole } from './broker-role.ts';
import { type Contact, sameContact } from './contacts.ts';
import type { MemberEvents } from './events.ts';
import { Flow } from './flow.ts';
import { Gate } from './gate.ts';
import { CONTROL, Introductions } from './introductions.ts';
import type { KeyPair } from './keys.ts';
import { Neighbours } from './neighbours.ts';
import type { NodeInfo } from './node-info.ts';
import { OpenLinks } from './open-links.ts';
import { type MeshOptions, openListen } from './options.ts';
import { Peers } from './peers.ts';
import { Presence } from './presence.ts';
import { Self } from './self.ts';
import type { Session } from './session.ts';
import type { PairHooks, SocketPair } from './socket-pair.ts';
import { Want } from './want.ts';
import type { Kit } from './zmq.ts';

const SWEEP_MS = 2000;
/** How long a new broker waits for others to arrive before it introduces itself to them (ms). */
const SETTLE_MS = 200;
/** How long after a broker's death those who lost it may take to come to the new one (ms). */
const RETURN_MS = 2000;
/** How long a dcs-io node gets for a session before we talk v1 with it (ms). */
const SESSION_MS = 2000;
/** How long after a stop or hang of this process commands on v1 links, which carry no age, are taken for old (ms). */
const DROWSY_MS = 500;

/**
 * A running member of the mesh: one session with each dcs-io node (`Peers`), the links of v1 with everybody else
 * (`OpenLinks`), and the part of the address broker, or a link to it (`BrokerRole`).
 */
export class Member {
  readonly role: BrokerRole;
  readonly peers: Peers;
  readonly #clock: Clock;
  readonly #gate: Gate | undefined;
  readonly #options: MeshOptions;
  readonly #self: Self;
  readonly #open: OpenLinks;
  readonly #links: BrokerLinks;
  readonly #introductions: Introductions;
  readonly neighbours: Neighbours;
  readonly presence: Presence;
  readonly #flow: Flow;
  #sweeper: Timer | undefined;
  #settling: Timer | undefined;
  #electedAt = Number.NEGATIVE_INFINITY;
  #drowsyUntil: MonotonicMs = 0;
  #stopped = false;

  /** `own`: this node's keys, when its sessions are encrypted. */
  constructor(
    bus: Bus,
    kit: Kit,
    options: MeshOptions,
    own: KeyPair | undefined,
    about: () => NodeAbout,
    events: MemberEvents,
  ) {
    this.#clock = bus.clock;
    if (own && options.security)
      this.#gate = new Gate(options.security.keys, own, this.#clock, kit, (key) => this.peers.revoke(key));
    this.#options = options;
    const changed = () => this.peers.refresh(true);
    const hooks: PairHooks = {
      frame: (text, pair) => this.#flow.receive(text, pair),
      subscribed: changed,
      unsubscribed: changed,
    };
    this.#self = new Self(this.#clock, options, own?.publicKey);
    this.#open = new OpenLinks(kit, this.#clock, options, this.#gate !== undefined && !options.insecure, {
      ...hooks,
      joined: (pair) => this.#links.greet(pair),
      parted: (pair) => this.#parted(pair),
      lost: () => this.neighbours.forget(),
    });
    this.role = new BrokerRole(
      kit,
      this.#clock,
      { ...options, listen: openListen(options) },
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
          this.#welcome();
        },
      },
    );
    this.#links = new BrokerLinks(this.#clock, {
      introduce: () => this.#introductions.introduce(),
      session: (id) => this.peers.session(id),
      greeted: (pair) => {
        if (pair === this.role.client) this.role.greeted();
      },
    });
    this.neighbours = new Neighbours(this.#clock, () => this.peers.refresh(false));
    this.#introductions = new Introductions({
      stats: kit.stats,
      self: () => this.#self.contact(),
      node: () => this.#self.info(),
      known: () => this.#open.dialer.verified(),
      announce: (data) => this.#announce(data),
      met: (node) => this.peers.learn(node),
      answered: (contact) => this.#dial(contact),
      // A newcomer connects to those who were there before, unless it cannot reach us. One without an address is on a
      // machine that has only loopback: ours, if nobody passed its introduction on.
      introduced: (contact, direct) => {
        if (!this.#self.contact() && (contact.addresses.length > 0 || direct)) this.#dial(contact);
      },
    });
    this.#flow = new Flow(bus, {
      id: this.#self.id,
      stats: kit.stats,
      log: kit.log,
      outlets: () => this.#outlets(),
      relays: (control) => this.#relays(control),
      sessions: () => this.peers.sessions(),
      control: (envelope, from) => {
        if (!this.#open.proxies.includes(from)) this.#introductions.handle(envelope, this.#links.isSpokenFor(from));
      },
      echo: (envelope, from) => this.#links.echoed(from, envelope.sender.at(-1)),
      heard: (id) => this.neighbours.hear(id),
      refusal: (envelope, from) => this.#gate?.refusal(envelope, from.wire.key),
      justWoke: () => this.#clock.now() < this.#drowsyUntil,
      isGone: (id) => this.peers.directory.isGone(id),
      mayRead: (envelope, peer) => this.#gate?.mayRead(envelope, peer.wire.key) ?? true,
      reject: (envelope, to, code, reason) => {
        const answer = this.#self.refusal(envelope, code, reason);
        if (to) this.#flow.sendTo(to, answer);
        else this.#flow.send(answer);
      },
      interestChanged: changed,
    });
    this.peers = new Peers(kit, {
      clock: this.#clock,
      stats: kit.stats,
      local: isLoopback(options.listen) && options.brokers.length === 0,
      self: () => this.#self.info(),
      wanted: (from) => this.#wanted(from),
      heard: () => this.neighbours.ids(),
      message: (session, found, waited) => this.#flow.receiveDirect(found, session, waited),
      changed: (session, before) => this.#flow.snapshot(session, before),
      birth: (session, found) => this.presence.welcome(session, found),
      gap: (session, missed) => {
        kit.stats.missed += missed;
        kit.log.warn({ peer: session.peer.name, missed }, 'messages of a peer were lost; asking for its last values');
        events.gap(session.peer, missed);
      },
      sync: (session) => this.#flow.snapshot(session),
      dropped: (session, messages) => {
        kit.stats.dropped += messages;
        events.drop(session.peer, messages);
      },
      gate: () => this.#gate,
      wasAway: () => {
        this.#drowsyUntil = this.#clock.now() + DROWSY_MS;
      },
      opened: (session, fresh) => {
        this.#flow.snapshot(session);
        if (!fresh) return;
        events.peerUp(session.peer);
        this.presence.greet(session);
      },
      settled: ({ peer }) => {
        this.#links.refresh();
        this.#open.dialer.release(peer);
      },
      closed: (session, reason) => {
        this.#links.refresh();
        events.peerDown(session.peer, reason);
        this.presence.mourn(session.peer);
      },
    });
    this.presence = new Presence(this.#clock, {
      describe: (event) => this.#self.describe(event, about()),
      send: (payload) => this.#flow.send(this.#self.envelope(payload)),
      tellHere: (payload, from) => this.#flow.tellHere({ ...this.#self.envelope(payload), sender: [from] }),
    });
  }

  /** What others know of this process. */
  get info(): NodeInfo {
    return this.#self.info();
  }

  /** Resolves once the broker of this machine, if it is another process, hears us and we it; or stops at a stop. */
  async start(): Promise<void> {
    await this.#gate?.open();
    this.#self.bound(await this.#open.bind(), await this.peers.bind(this.#options.listen));
    if (this.#stopped) return;
    this.#open.connect();
    if (this.#gate) for (const { host, rx } of this.#options.brokers) this.peers.calls.broker(host, rx);
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
    this.#flow.close();
    await this.peers.stop(linger);
    await this.role.stop(linger);
    this.#gate?.close();
    this.#open.close(linger);
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
    yield* this.#open.relays(control);
  }

  /** What our actors listen to; everything if there are v1 processes; and what peers want that do not hear `from`. */
  #wanted(from: Session | undefined): Want {
    for (const pair of this.#relays(false)) if (pair.listeners > 0) return Want.everything;
    let want = Want.of(this.#flow.interest());
    for (const session of this.peers.sessions()) {
      if (from && session !== from && !session.hears(from.peer.id)) want = want.with(session.want);
    }
    return want;
  }

  #parted(pair: SocketPair): void {
    this.neighbours.forget();
    this.#links.lost(pair);
  }

  #announce(data: Record<string, unknown>): string {
    const { payload, ...rest } = this.#self.envelope({ [CONTROL]: data });
    const text = JSON.stringify({ payload, ...rest });
    for (const pair of [this.role.serving, ...this.#links.all()]) pair.announce(text);
    return rest.msg_id;
  }

  #becameBroker(): void {
    this.#electedAt = this.#clock.now();
    this.#sweep();
  }

  #dial(contact: Contact): void {
    const self = this.#self.contact();
    if (self && sameContact(self, contact)) return;
    const node = this.peers.directory.atServer(contact.addresses, contact.ports.rx, contact.ports.tx);
    if (!node) this.#open.dial(contact);
    else if (!this.peers.session(node.id)) {
      // It gets a session; v1 is for the case that it gets none.
      this.#clock.after(SESSION_MS, () => {
        if (this.peers.directory.get(node.id) && !this.peers.session(node.id)) this.#open.dial(contact);
      });
    }
  }

  /** Those who lost the old broker come to the new one within a moment, and v1 says nothing: we introduce ourselves. */
  #welcome(): void {
    if (this.#clock.now() - this.#electedAt > RETURN_MS || this.#settling) return;
    this.#settling = this.#clock.after(SETTLE_MS, () => {
      this.#settling = undefined;
      this.#introductions.introduce();
    });
  }

  #sweep(): void {
    this.#sweeper?.cancel();
    if (this.role.isBroker && !this.#options.insecure) this.peers.bindAlso(this.#options.rx);
    this.#sweeper = this.#clock.after(SWEEP_MS, () => {
      this.#open.dialer.sweep();
      this.neighbours.sweep();
      this.#sweep();
    });
  }
}
