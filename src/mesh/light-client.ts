import { Actor, type Handler, type RequestOptions } from '../bus/actor.ts';
import { Bus } from '../bus/bus.ts';
import { PinClient, type PinRequestOptions, type SetOptions } from '../bus/pin-client.ts';
import { type Clock, type DurationMs, type Timer, withDeadline } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import { type Envelope, type Payload, parseEnvelope } from '../message/envelope.ts';
import type { IoMessage, PinValue } from '../message/payloads.ts';
import { LocalNode } from './local-node.ts';
import { quietLog } from './options.ts';
import { type PeerEvent, type PeerListener, Peers } from './peer/peers.ts';
import type { Session } from './peer/session.ts';
import { V1Processes } from './peer/subscription-sync.ts';
import { type RoutedMessage, Router, type Transport } from './routing/router.ts';
import { ServerTrust } from './security/access-control.ts';
import { listAllowed, loadKeys } from './security/keys.ts';
import { type MeshStats, newStats } from './stats.ts';
import { type Endpoint, endpointText, isLoopback, parseEndpoint } from './transport/addresses.ts';
import { type KeyPair, LINGER_MS, openSocketFactory, type SocketFactory } from './transport/socket-factory.ts';
import { ECHO, INTRODUCTION } from './v1/introductions.ts';
import { type PairListener, SocketPair } from './v1/socket-pair.ts';

const DEFAULT_BUS = '127.0.0.1:5012:5013';
const DEFAULT_TIMEOUT_MS: DurationMs = 5000;
/** Interval at which a client sends its echo message until it comes back (ms). */
const ECHO_MS: DurationMs = 20;

/** Options of `connect`; every one has a default. */
export interface ConnectOptions {
  /** Address of the node, `ip:rx:tx`. By default the environment variable DCS_IO_BUS, else 127.0.0.1:5012:5013. */
  readonly bus?: string;
  /**
   * Folder with this client's key and the keys it allows, as in `bus.security.keys`: the session with the node is then
   * encrypted (CURVE). On loopback a node serves its bus unencrypted, so there the client connects without encryption.
   */
  readonly keys?: string;
  /** Public key of the node. By default each key that the folder allows is tried, and its own. */
  readonly serverKey?: string;
  /** Longest time to wait for the node (ms); 5000 by default. */
  readonly timeoutMs?: DurationMs;
  /** Name for people; `client` by default. */
  readonly name?: string;
  readonly clock?: Clock;
  /** Nothing is logged by default. */
  readonly log?: Log;
}

/**
 * Connects to the bus through one node. Rejects with TIMEOUT when no node answers, and with NO_PERMISSION when the node does
 * not allow the client's key.
 *
 * ```ts
 * await using bus = await connect();
 * bus.on('IoMessage', (message) => console.log(message));
 * await bus.set('green-led', true);
 * ```
 */
export async function connect(options: ConnectOptions = {}): Promise<LightClient> {
  const { keys, timeoutMs = DEFAULT_TIMEOUT_MS, name = 'client', log = quietLog } = options;
  const endpoint = parseEndpoint(options.bus ?? process.env['DCS_IO_BUS'] ?? DEFAULT_BUS);
  const own = keys === undefined || isLoopback(endpoint.host) ? undefined : loadKeys(keys);
  const stats = newStats();
  const sockets = await openSocketFactory(stats, log, own);
  const bus = new Bus(options.clock && { clock: options.clock });
  const localNode = new LocalNode(bus.clock, { name }, own?.publicKey);
  const router = new Router(bus, localNode.id, stats, log);
  const link = own
    ? new SessionLink(
        sockets,
        router,
        localNode,
        new ServerTrust(own, serverKeys(own, keys, options.serverKey)),
        endpoint,
      )
    : new PlainLink(sockets, router, endpoint);
  const client = new LightClient(name, bus, router, link, stats);
  try {
    await withDeadline(bus.clock, timeoutMs, link.ready, () => noAnswer(endpoint, timeoutMs));
  } catch (error) {
    await client.close();
    throw error;
  }
  return client;
}

function serverKeys({ publicKey }: KeyPair, folder = '', serverKey?: string): readonly string[] {
  if (serverKey !== undefined) return [serverKey];
  return [...listAllowed(folder).grants.map(({ key }) => key), publicKey];
}

function noAnswer(endpoint: Endpoint, timeoutMs: DurationMs): DcsError {
  const place = endpointText(endpoint);
  return new DcsError(
    'TIMEOUT',
    `no agent answers at ${place} within ${timeoutMs} ms; is 'dcs-io run' running there?`,
    { found: place },
  );
}

/** The connection of a light client. */
interface ClientLink {
  /** Resolves once messages reach the node and its messages reach us. */
  readonly ready: Promise<void>;
  /** Messages sent before still leave. */
  close(): Promise<void>;
}

/**
 * A client of the bus without hardware of its own, for scripts and commands. It talks with everybody through one node and
 * passes on no messages of others. When the connection breaks it reconnects by itself; messages sent meanwhile are lost.
 */
export class LightClient implements AsyncDisposable {
  /** The actor through which this client sends and receives. */
  readonly actor: Actor;
  /** Counts the messages that this client sends and receives. */
  readonly stats: MeshStats;
  readonly #pins: PinClient;
  readonly #bus: Bus;
  readonly #router: Router;
  readonly #link: ClientLink;
  #closed: Promise<void> | undefined;

  /** Called by connect(). @internal */
  constructor(name: string, bus: Bus, router: Router, link: ClientLink, stats: MeshStats) {
    this.stats = stats;
    this.#bus = bus;
    this.actor = new Actor(name);
    this.#pins = new PinClient(this.actor);
    this.#router = router;
    this.#link = link;
    bus.join(this.actor);
  }

  /** Id of this client's process on the wire. */
  get id(): string {
    return this.#router.id;
  }

  /** Handles every message of a subject; `data` is `payload[subject]`. */
  on(subject: string, handler: Handler<unknown>): void {
    this.actor.on(subject, handler);
  }

  /** Handles every message; gets the envelope. */
  onAny(handler: (envelope: Envelope) => void | Promise<void>): void {
    this.actor.onAny(handler);
  }

  /** Handles the reports of one pin. */
  onReport(pin: string, handler: Handler<IoMessage>): void {
    this.actor.onReport(pin, handler);
  }

  /**
   * Commands a pin and resolves with the report that confirms it. Rejects with the code and the reason of the refusal, or with
   * TIMEOUT.
   */
  set(pin: string, val: NonNullable<PinValue>, options?: SetOptions): Promise<IoMessage> {
    return this.#pins.set(pin, val, options);
  }

  /** Resolves with the present report of a pin. Rejects with TIMEOUT when no node has it. */
  get(pin: string, options?: PinRequestOptions): Promise<IoMessage> {
    return this.#pins.get(pin, options);
  }

  /** Sends a message to everybody. */
  send(payload: Payload): Envelope {
    return this.actor.send(payload);
  }

  /** Sends a message and resolves with the message that answers it; rejects with the error that answers it, or TIMEOUT. */
  request(payload: Payload, options?: RequestOptions): Promise<Envelope> {
    return this.actor.request(payload, options);
  }

  /** Closes the connection; messages sent before still leave. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#router.close();
    await this.#link.close();
    this.#bus.close();
  }
}

/** An unencrypted link to a broker, as v1 processes have it. */
class PlainLink implements ClientLink, Transport, PairListener {
  readonly ready: Promise<void>;
  readonly #router: Router;
  readonly #pair: SocketPair;
  #onReady: () => void = () => undefined;
  #echoTimer: Timer | undefined;
  #echoes = 0;
  #settled = false;

  constructor(sockets: SocketFactory, router: Router, endpoint: Endpoint) {
    this.#router = router;
    this.#pair = new SocketPair(sockets, 'client', this);
    this.ready = new Promise((resolve) => {
      this.#onReady = resolve;
    });
    router.addTransport(this);
    this.#pair.connect(endpoint);
  }

  /** Sends messages of this process only. */
  forward({ source, text }: RoutedMessage): number {
    return source === undefined && this.#pair.publish(text) ? 1 : 0;
  }

  onFrame(text: string, pair: SocketPair): void {
    const { stats } = this.#router;
    stats.received++;
    const parsed = parseEnvelope(text);
    if (!parsed.ok) {
      stats.malformed++;
      return;
    }
    const envelope = parsed.value;
    if (this.#router.isEcho(envelope)) this.#settle();
    else if (ECHO in envelope.payload || INTRODUCTION in envelope.payload) return;
    else if (!this.#router.isDuplicate(envelope)) this.#router.deliver(envelope, pair, envelope.sender.at(-1));
  }

  onUp(): void {
    this.#sendEcho();
  }

  onDown(): void {
    // ZeroMQ reconnects by itself.
  }

  onSubscriber(_pair: SocketPair, joined: boolean): void {
    if (joined) this.#sendEcho();
  }

  async close(): Promise<void> {
    this.#settle();
    this.#pair.close(LINGER_MS);
  }

  #settle(): void {
    this.#settled = true;
    this.#echoTimer?.cancel();
    this.#onReady();
  }

  /** Sends an echo message until it comes back: then our subscription is in force at the broker. */
  #sendEcho(): void {
    this.#echoTimer?.cancel();
    if (this.#settled) return;
    const { id, clock } = this.#router;
    const msg_id = `${id}.${this.#echoes++}`;
    this.#pair.publish(JSON.stringify({ sender: [id], timestamp: clock.unix(), msg_id, payload: { [ECHO]: {} } }));
    this.#echoTimer = clock.after(ECHO_MS, () => this.#sendEcho());
  }
}

/** An encrypted session with a node, as nodes have it among themselves. */
class SessionLink implements ClientLink, PeerListener {
  readonly ready: Promise<void>;
  readonly #peers: Peers;
  readonly #place: string;
  #onReady: () => void = () => undefined;
  #onRefused: (error: DcsError) => void = () => undefined;

  constructor(sockets: SocketFactory, router: Router, localNode: LocalNode, access: ServerTrust, endpoint: Endpoint) {
    this.#place = endpointText(endpoint);
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = resolve;
      this.#onRefused = reject;
    });
    const v1 = new V1Processes(router.clock);
    this.#peers = new Peers(sockets, router, localNode, v1, access, 'named-brokers', this);
    this.#peers.connector.dialBroker(endpoint.host, endpoint.rx);
    this.#peers.start();
  }

  onPeerEvent(_session: Session, { type }: PeerEvent): void {
    if (type === 'up') this.#onReady();
  }

  onKeyRefused(): void {
    this.#onRefused(
      new DcsError('NO_PERMISSION', `the node at ${this.#place} does not allow this client's key`, {
        found: this.#place,
        expected: "a key that was allowed there with 'dcs-io keys allow'",
      }),
    );
  }

  close(): Promise<void> {
    return this.#peers.stop(LINGER_MS);
  }
}
