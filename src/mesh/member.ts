import type { Bus } from '../bus/bus.ts';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import { messageOf } from '../errors/errors.ts';
import type { Envelope, Payload } from '../message/envelope.ts';
import { newId } from '../message/id.ts';
import type { PinInfo } from '../message/payloads.ts';
import { isLoopback, ownAddresses } from './addresses.ts';
import { BrokerLinks } from './broker-links.ts';
import { BrokerRole } from './broker-role.ts';
import { type Contact, isOnThisMachine } from './contacts.ts';
import { Dialer } from './dialer.ts';
import type { Endpoint } from './endpoint.ts';
import { Flow } from './flow.ts';
import { Gate } from './gate.ts';
import { CONTROL, Introductions } from './introductions.ts';
import type { KeyPair } from './keys.ts';
import { Neighbours } from './neighbours.ts';
import { type NodeInfo, placesOf } from './node-info.ts';
import { type MeshOptions, openListen } from './options.ts';
import { Peers } from './peers.ts';
import { Presence } from './presence.ts';
import type { EndReason, Session } from './session.ts';
import { type PairHooks, type Ports, SocketPair } from './socket-pair.ts';
import { Want } from './want.ts';
import type { Kit } from './zmq.ts';

/** How often dead contacts are looked for (ms). */
const SWEEP_MS = 2000;
/** How long a new broker waits for others to arrive before it introduces itself to them (ms). */
const SETTLE_MS = 200;
/** How long a dcs-io node gets for a session before we talk v1 with it (ms). */
const SESSION_MS = 2000;

/** How long after a stop or hang of this process commands on v1 links, which carry no age, are taken for old (ms). */
const DROWSY_MS = 500;

/** What a member tells the program it lives in. None may throw. */
export interface MemberEvents {
  peerUp(peer: NodeInfo): void;
  peerDown(peer: NodeInfo, reason: EndReason): void;
  gap(peer: NodeInfo, missed: number): void;
  drop(peer: NodeInfo, messages: number): void;
}

/**
 * A running member of the mesh. With dcs-io nodes it has one session each (`Peers`); with everybody else the links of v1:
 *
 * - server: other processes connect here; its ports are our contact
 * - client: we connect here to the servers of others
 * - broker: the well-known ports, if they are ours (`BrokerRole`)
 * - broker clients: to the broker of this machine, and to those of other machines the user named
 * - proxies: to brokers behind a tunnel; no contact ever passes there, for it would mean nothing at the other end
 */
export class Member {
  readonly id: string = newId();
  readonly boot: string = newId(12);
  readonly role: BrokerRole;
  readonly peers: Peers;
  readonly #kit: Kit;
  readonly #clock: Clock;
  readonly #gate: Gate | undefined;
  readonly #clearBrokers: readonly Endpoint[];
  readonly #clearProxies: readonly Endpoint[];
  readonly #options: MeshOptions;
  readonly #events: MemberEvents;
  readonly #server: SocketPair;
  readonly #client: SocketPair;
  readonly #proxies: readonly SocketPair[];
  readonly #brokers: readonly SocketPair[];
  readonly #links: BrokerLinks;
  readonly #dialer: Dialer;
  readonly #introductions: Introductions;
  readonly #neighbours: Neighbours;
  readonly #presence: Presence;
  readonly #flow: Flow;
  #ports: Ports = { rx: 1, tx: 1 };
  #doorPort = 1;
  #sweeper: Timer | undefined;
  #settling: Timer | undefined;
  #elected = false;
  #serial = 0;
  #drowsyUntil: MonotonicMs = 0;

  /** `own`: this node's keys, when its sessions are encrypted. */
  constructor(
    bus: Bus,
    kit: Kit,
    options: MeshOptions,
    own: KeyPair | undefined,
    pins: () => readonly PinInfo[],
    events: MemberEvents,
  ) {
    this.#kit = kit;
    this.#clock = bus.clock;
    if (own && options.security) {
      this.#gate = new Gate(options.security.keys, own, this.#clock, kit.log, (key) => this.peers.revoke(key));
    }
    // What is not encrypted stays on this machine, unless the user wants it otherwise.
    const closed = this.#gate !== undefined && !options.insecure;
    const clear = (endpoint: Endpoint) => !closed || isLoopback(endpoint.host);
    this.#clearBrokers = options.brokers.filter(clear);
    this.#clearProxies = options.proxyBrokers.filter(clear);
    for (const endpoint of options.proxyBrokers) {
      if (!clear(endpoint))
        kit.log.error({ ...endpoint }, 'a proxy broker is only talked to through a tunnel on this machine');
    }
    this.#options = options;
    this.#events = events;
    const changed = () => this.peers.refresh(true);
    const hooks: PairHooks = {
      frame: (text, pair) => this.#flow.receive(text, pair),
      subscribed: changed,
      unsubscribed: changed,
    };
    this.#server = new SocketPair(kit, 'server', hooks);
    this.#client = new SocketPair(kit, 'client', {
      ...hooks,
      up: (_pair, endpoint) => this.#dialer.up(endpoint),
      down: (_pair, endpoint) => {
        this.#neighbours.forget();
        this.#dialer.down(endpoint);
      },
    });
    this.#dialer = new Dialer(this.#client, this.#clock, kit);
    this.#proxies = this.#clearProxies.map(() => new SocketPair(kit, 'proxy broker', hooks));
    this.#brokers = this.#clearBrokers.map((endpoint) => {
      const joined = (pair: SocketPair) => {
        if (pair.isUp(endpoint) && pair.listeners > 0) this.#links.greet(pair);
      };
      const down = (pair: SocketPair) => this.#parted(pair);
      return new SocketPair(kit, 'broker client', { ...hooks, up: joined, subscribed: joined, down });
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
        elected: () => {
          this.#elected = true;
          this.#openForAll();
          kit.log.info({ id: this.id }, 'this process is the address broker of its machine now');
        },
        subscribed: () => {
          changed();
          this.#welcome();
        },
      },
    );
    this.#links = new BrokerLinks(this.#clock, {
      introduce: () => this.#introductions.introduce(),
      hasSession: (id) => this.peers.session(id) !== undefined,
      greeted: (pair) => {
        if (pair === this.role.client) this.role.greeted();
      },
    });
    this.#neighbours = new Neighbours(this.#clock, () => this.peers.refresh(false));
    this.#introductions = new Introductions({
      stats: kit.stats,
      self: () => this.#contact(),
      node: () => this.#self(),
      known: () => this.#dialer.verified(),
      announce: (data) => this.#announce(data),
      met: (node) => this.peers.learn(node),
      answered: (contact) => this.#dial(contact),
      // A newcomer connects to those who were there before, unless it cannot reach us. One without an address is on a
      // machine that has only loopback: ours, if nobody passed its introduction on.
      introduced: (contact, direct) => {
        if (!this.#contact() && (contact.addresses.length > 0 || direct)) this.#dial(contact);
      },
    });
    this.#flow = new Flow(bus, {
      id: this.id,
      stats: kit.stats,
      log: kit.log,
      outlets: () => this.#outlets(),
      relays: (control) => this.#relays(control),
      sessions: () => this.peers.sessions(),
      control: (envelope, from) => {
        if (!this.#proxies.includes(from)) this.#introductions.handle(envelope, this.#links.isSpokenFor(from));
      },
      echo: (envelope, from) => this.#links.echoed(from, envelope.sender.at(-1)),
      heard: (id) => this.#neighbours.hear(id),
      refusal: (envelope, from) => this.#gate?.refusal(envelope, from.wire.key),
      justWoke: () => this.#clock.now() < this.#drowsyUntil,
      isGone: (id) => this.peers.isGone(id),
      mayRead: (envelope, peer) => this.#gate?.mayRead(envelope, peer.wire.key) ?? true,
      reject: (envelope, to, code, reason) => this.#reject(envelope, to, code, reason),
      interestChanged: changed,
    });
    this.peers = new Peers(kit, {
      clock: this.#clock,
      stats: kit.stats,
      local: isLoopback(options.listen) && options.brokers.length === 0,
      self: () => this.#self(),
      wanted: (from) => this.#wanted(from),
      heard: () => this.#neighbours.ids(),
      message: (session, found, waited) => this.#flow.receiveDirect(found, session, waited),
      changed: (session, before) => this.#flow.snapshot(session, before),
      birth: (session, found) => this.#presence.welcome(session, found),
      gap: (session, missed) => {
        kit.stats.missed += missed;
        kit.log.warn({ peer: session.peer.name, missed }, 'messages of a peer were lost; asking for its last values');
        this.#events.gap(session.peer, missed);
      },
      sync: (session) => this.#flow.snapshot(session),
      dropped: (session, messages) => {
        kit.stats.dropped += messages;
        this.#events.drop(session.peer, messages);
      },
      gate: () => this.#gate,
      wasAway: () => {
        this.#drowsyUntil = this.#clock.now() + DROWSY_MS;
      },
      opened: (session, fresh) => this.#opened(session, fresh),
      closed: (session, reason) => this.#closed(session, reason),
    });
    this.#presence = new Presence(this.#clock, {
      describe: (event) => ({ event, node: this.id, name: options.name ?? this.id, boot: this.boot, pins: pins() }),
      send: (payload) => this.#flow.send(this.#envelope(payload)),
      tellHere: (payload, from) => this.#flow.tellHere({ ...this.#envelope(payload), sender: [from] }),
    });
  }

  /** Resolves once the broker of this machine, if it is another process, hears us and we it. */
  async start(): Promise<void> {
    const { listen, brokers } = this.#options;
    await this.#gate?.open(this.#kit);
    this.#ports = await this.#bindServer(openListen(this.#options));
    this.#doorPort = await this.peers.door.bind(listen);
    for (const [at, endpoint] of this.#clearProxies.entries()) this.#proxies[at]?.connect(endpoint);
    for (const [at, endpoint] of this.#clearBrokers.entries()) this.#brokers[at]?.connect(endpoint);
    if (this.#gate) for (const { host, rx } of brokers) this.peers.callBroker(host, rx);
    this.peers.start();
    await this.role.start();
    if (this.role.isBroker) this.#openForAll();
    this.#presence.start();
    this.#sweep();
  }

  /** Says goodbye and closes every socket; what was sent goes on leaving for up to `linger` ms. */
  async stop(linger: DurationMs): Promise<void> {
    this.#presence.stop();
    this.#sweeper?.cancel();
    this.#settling?.cancel();
    this.#links.stop();
    this.#flow.close();
    await this.peers.stop(linger);
    await this.role.stop(linger);
    this.#gate?.close();
    for (const pair of [this.#server, this.#client, ...this.#proxies, ...this.#brokers]) pair.close(linger);
  }

  async #bindServer(listen: string): Promise<Ports> {
    for (;;) {
      const ports = await this.#server.bind([listen], 0, 0);
      if (ports) return ports;
    }
  }

  /** The broker of a machine can be called by its well-known port where v1 is not served. */
  #openForAll(): void {
    if (!this.#gate || this.#options.insecure) return;
    for (const address of this.#self().addresses) {
      this.peers.door.bind(address, this.#options.rx).catch((error: unknown) => {
        this.#kit.log.warn({ err: error, address }, `other machines cannot find this one: ${messageOf(error)}`);
      });
    }
  }

  /** Our addresses are looked up anew each time: a machine may get another one while it runs. */
  #self(): NodeInfo {
    return {
      id: this.id,
      name: this.#options.name ?? this.id,
      boot: this.boot,
      ...placesOf(this.#options.listen),
      port: this.#doorPort,
      server: this.#ports,
      ...(this.#gate && { key: this.#gate.own.publicKey }),
    };
  }

  #contact(): Contact | undefined {
    const { addresses } = placesOf(openListen(this.#options));
    return addresses.length > 0 ? { addresses, ports: this.#ports } : undefined;
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
    yield this.#client;
    yield this.#server;
    if (!control) yield* this.#proxies;
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

  #opened(session: Session, fresh: boolean): void {
    this.#links.refresh();
    this.#dialer.release(session.peer);
    this.#flow.snapshot(session);
    if (!fresh) return;
    this.#events.peerUp(session.peer);
    this.#presence.greet(session);
  }

  #closed(session: Session, reason: EndReason): void {
    this.#links.refresh();
    this.#events.peerDown(session.peer, reason);
    this.#presence.mourn(session.peer);
  }

  #parted(pair: SocketPair): void {
    this.#neighbours.forget();
    this.#links.lost(pair);
  }

  #envelope(payload: Payload): Envelope {
    const msg_id = `${this.id}.${this.#serial++}`;
    return Object.freeze({ sender: Object.freeze([this.id]), timestamp: this.#clock.unix(), msg_id, payload });
  }

  #announce(data: Record<string, unknown>): string {
    const { payload, ...rest } = this.#envelope({ [CONTROL]: data });
    const text = JSON.stringify({ payload, ...rest });
    this.role.serving.announce(text);
    for (const pair of this.#links.all()) pair.announce(text);
    return rest.msg_id;
  }

  #reject(command: Envelope, to: Session | undefined, code: string, message: string): void {
    const io = command.payload['IoMessage'];
    const pin = typeof io === 'object' && io !== null && 'pin_name' in io ? { pin_name: io.pin_name } : {};
    const answer = this.#envelope({ IoErrorMessage: { ...pin, code, message, reply_to: command.msg_id } });
    if (to) this.#flow.sendTo(to, answer);
    else this.#flow.send(answer);
  }

  /** A process that listens on loopback only and names no broker stays on its machine. */
  #dial(contact: Contact): void {
    const own = ownAddresses();
    const self = this.#contact();
    if (self && sameContact(self, contact)) return;
    const here = contact.addresses.length === 0 || isOnThisMachine(contact, own);
    if (!here && isLoopback(this.#options.listen) && this.#brokers.length === 0) return;
    const node = this.peers.atServer(contact.addresses, contact.ports.rx, contact.ports.tx);
    if (!node) this.#dialer.dial(contact, own);
    else if (!this.peers.session(node.id)) {
      // It gets a session; v1 is for the case that it gets none.
      this.#clock.after(SESSION_MS, () => {
        if (this.peers.knows(node.id) && !this.peers.session(node.id)) this.#dialer.dial(contact, own);
      });
    }
  }

  /** Those who lost the old broker come to the new one within a moment; one introduction then reaches them all. */
  #welcome(): void {
    if (!this.#elected || this.#settling) return;
    this.#settling = this.#clock.after(SETTLE_MS, () => {
      this.#elected = false;
      this.#settling = undefined;
      this.#introductions.introduce();
    });
  }

  #sweep(): void {
    this.#sweeper = this.#clock.after(SWEEP_MS, () => {
      this.#dialer.sweep();
      this.#neighbours.sweep();
      this.#sweep();
    });
  }
}

function sameContact(one: Contact, other: Contact): boolean {
  return (
    one.ports.rx === other.ports.rx &&
    one.ports.tx === other.ports.tx &&
    other.addresses.some((address) => one.addresses.includes(address))
  );
}
