import type { Bus } from '../bus/bus.ts';
import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { newId } from '../message/id.ts';
import { isLoopback, ownAddresses, reachableAddresses } from './addresses.ts';
import { BrokerRole } from './broker-role.ts';
import { type Contact, isOnThisMachine } from './contacts.ts';
import { Dialer } from './dialer.ts';
import { Flow } from './flow.ts';
import { CONTROL, Introductions } from './introductions.ts';
import type { MeshOptions } from './options.ts';
import { type PairHooks, type Ports, SocketPair } from './socket-pair.ts';
import type { Kit } from './zmq.ts';

/** How often dead contacts are looked for (ms). */
const SWEEP_MS = 5000;
/** How long a new broker waits for others to arrive before it introduces itself to them (ms). */
const SETTLE_MS = 200;
/** How often we introduce ourselves to a broker until that comes back, and how long we wait in between (ms). */
const GREETINGS = 10;
const GREETING_MS = 50;

/**
 * A running member of the mesh: its links, and who does what with the messages on them.
 *
 * - server: other processes connect here; its ports are our contact
 * - client: we connect here to the servers of others
 * - broker: the well-known ports, if they are ours (`BrokerRole`)
 * - broker clients: to the broker of this machine, and to those of other machines the user named
 * - proxies: to brokers behind a tunnel; no contact ever passes there, for it would mean nothing at the other end
 */
export class Member {
  readonly id: string = newId();
  readonly role: BrokerRole;
  readonly #clock: Clock;
  readonly #options: MeshOptions;
  readonly #server: SocketPair;
  readonly #client: SocketPair;
  readonly #proxies: readonly SocketPair[];
  readonly #brokers: readonly SocketPair[];
  readonly #dialer: Dialer;
  readonly #introductions: Introductions;
  readonly #flow: Flow;
  #contact: Contact | undefined;
  /** Broker links that have not shown yet that they work both ways. */
  readonly #greetings = new Map<SocketPair, Timer>();
  #timers = new Set<Timer>();
  #settling: Timer | undefined;
  #elected = false;
  #serial = 0;

  constructor(bus: Bus, kit: Kit, options: MeshOptions) {
    this.#clock = bus.clock;
    this.#options = options;
    const hooks: PairHooks = { frame: (text, pair) => this.#flow.receive(text, pair) };
    this.#server = new SocketPair(kit, 'server', hooks);
    this.#client = new SocketPair(kit, 'client', {
      ...hooks,
      up: (_pair, endpoint) => this.#dialer.up(endpoint),
      down: (_pair, endpoint) => this.#dialer.down(endpoint),
    });
    this.#dialer = new Dialer(this.#client, this.#clock, kit);
    this.#proxies = options.proxyBrokers.map(() => new SocketPair(kit, 'proxy broker', hooks));
    this.#brokers = options.brokers.map((endpoint) => {
      const joined = (pair: SocketPair) => {
        if (pair.isUp(endpoint) && pair.listeners > 0) this.#greet(pair);
      };
      return new SocketPair(kit, 'broker client', { ...hooks, up: joined, subscribed: joined });
    });
    this.role = new BrokerRole(kit, this.#clock, options, {
      ...hooks,
      joined: (pair) => this.#greet(pair),
      elected: () => {
        this.#elected = true;
        kit.log.info({ id: this.id }, 'this process is the address broker of its machine now');
      },
      subscribed: () => this.#welcome(),
    });
    this.#introductions = new Introductions({
      stats: kit.stats,
      self: () => this.#contact,
      known: () => this.#dialer.verified(),
      announce: (data) => this.#announce(data),
      answered: (contact) => this.#dial(contact),
      // A newcomer connects to those who were there before, unless it cannot reach us. One without an address is on a
      // machine that has only loopback: ours, if nobody passed its introduction on.
      introduced: (contact, direct) => {
        if (!this.#contact && (contact.addresses.length > 0 || direct)) this.#dial(contact);
      },
    });
    this.#flow = new Flow(bus, {
      id: this.id,
      stats: kit.stats,
      log: kit.log,
      outlets: () => this.#outlets(),
      relays: (control) => this.#relays(control),
      control: (envelope, from) => {
        if (!this.#proxies.includes(from)) this.#introductions.handle(envelope);
      },
      echo: (_envelope, from) => this.#greeted(from),
    });
  }

  /** Resolves once the broker of this machine, if it is another process, hears us and we it. */
  async start(): Promise<void> {
    const { listen, brokers, proxyBrokers } = this.#options;
    const ports = await this.#bindServer(listen);
    const addresses = reachableAddresses(listen);
    if (addresses.length > 0) this.#contact = { addresses, ports };
    for (const [at, endpoint] of proxyBrokers.entries()) this.#proxies[at]?.connect(endpoint);
    for (const [at, endpoint] of brokers.entries()) this.#brokers[at]?.connect(endpoint);
    await this.role.start();
    this.#sweep();
  }

  /** Closes every socket; what was sent goes on leaving for up to `linger` ms. */
  async stop(linger: DurationMs): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    this.#settling?.cancel();
    for (const greeting of this.#greetings.values()) greeting.cancel();
    this.#flow.close();
    await this.role.stop(linger);
    for (const pair of [this.#server, this.#client, ...this.#proxies, ...this.#brokers]) pair.close(linger);
  }

  async #bindServer(listen: string): Promise<Ports> {
    for (;;) {
      const ports = await this.#server.bind([listen], 0, 0);
      if (ports) return ports;
    }
  }

  /**
   * v1 sends on server, client and broker. On the broker clients as well: the broker relays it to those we are not
   * linked to yet, or cannot be.
   */
  *#outlets(): Iterable<SocketPair> {
    yield* this.#relays(false);
    if (this.role.client) yield this.role.client;
    yield* this.#brokers;
  }

  *#relays(control: boolean): Iterable<SocketPair> {
    yield this.role.serving;
    yield this.#client;
    yield this.#server;
    if (!control) yield* this.#proxies;
  }

  #announce(data: Record<string, unknown>): string {
    const msg_id = `${this.id}.${this.#serial++}`;
    const text = JSON.stringify({
      sender: [this.id],
      timestamp: this.#clock.unix(),
      msg_id,
      payload: { [CONTROL]: data },
    });
    this.role.serving.publish(text);
    this.role.client?.publish(text);
    for (const broker of this.#brokers) broker.publish(text);
    return msg_id;
  }

  /** A process that listens on loopback only and names no broker stays on its machine. */
  #dial(contact: Contact): void {
    const own = ownAddresses();
    const here = contact.addresses.length === 0 || isOnThisMachine(contact, own);
    if (!here && isLoopback(this.#options.listen) && this.#brokers.length === 0) return;
    if (this.#contact && sameContact(this.#contact, contact)) return;
    this.#dialer.dial(contact, own);
  }

  /**
   * Introduces us behind a broker, again until it comes back to us: a broker's handshake does not yet mean that our
   * subscription is in force, and an answer before that would be lost.
   */
  #greet(pair: SocketPair, tries = GREETINGS): void {
    this.#greetings.get(pair)?.cancel();
    this.#introductions.introduce();
    if (tries <= 1) this.#greetings.delete(pair);
    else
      this.#greetings.set(
        pair,
        this.#clock.after(GREETING_MS, () => this.#greet(pair, tries - 1)),
      );
  }

  #greeted(pair: SocketPair): void {
    this.#greetings.get(pair)?.cancel();
    this.#greetings.delete(pair);
    if (pair === this.role.client) this.role.greeted();
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
    const timer = this.#clock.after(SWEEP_MS, () => {
      this.#timers.delete(timer);
      this.#dialer.sweep();
      this.#sweep();
    });
    this.#timers.add(timer);
  }
}

function sameContact(one: Contact, other: Contact): boolean {
  return (
    one.ports.rx === other.ports.rx &&
    one.ports.tx === other.ports.tx &&
    other.addresses.some((address) => one.addresses.includes(address))
  );
}
