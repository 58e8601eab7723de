import { EventEmitter } from 'node:events';
import { isIPv4 } from 'node:net';
import type { Bus } from '../bus/bus.ts';
import type { DurationMs, Timer } from '../clock/clock.ts';
import { DcsError, messageOf, systemCode } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { NodeAbout, PinInfo } from '../message/payloads.ts';
import type { NodeInfo } from './local-node.ts';
import { Member, type MemberListener } from './member.ts';
import { type MeshOptions, type MeshSettings, meshSettings, onLoopback } from './options.ts';
import type { EndReason } from './peer/session.ts';
import { loadKeys } from './security/keys.ts';
import { type MeshStats, newStats } from './stats.ts';
import { isLoopback, ownAddresses } from './transport/addresses.ts';
import { type KeyPair, LINGER_MS, openSocketFactory } from './transport/socket-factory.ts';

export type { MeshOptions } from './options.ts';
export type { MeshStats } from './stats.ts';

/** Interval at which a machine without its address is asked whether it has it now (ms). */
const ADDRESS_MS: DurationMs = 1000;

/** Another dcs-io node. */
export type MeshPeer = Pick<NodeInfo, 'id' | 'name' | 'boot' | 'addresses'>;

/** The session with another dcs-io node, or the lack of one. */
export interface MeshLink extends MeshPeer {
  /** True while there is a session. */
  readonly open: boolean;
  /** Time since it was opened, or closed. */
  readonly forMs: DurationMs;
  /** True when the peer has a key: sessions with it are encrypted. */
  readonly encrypted: boolean;
  /** Round trip of the last ping; `undefined` within a machine. */
  readonly roundTripMs?: DurationMs;
  /** Messages from the peer that were lost, and messages to it that were dropped because it does not read. */
  readonly missed: number;
  readonly dropped: number;
}

/** `mesh.on('peer-up', (peer) => …)`. v1 processes cause no events: they have neither heartbeat nor goodbye. */
export interface MeshEvents {
  /** Emitted when there is a session with the peer, after there was none. */
  'peer-up': [peer: MeshPeer];
  /** Emitted within 2 s of the peer's death, hang or disappearance from the network. */
  'peer-down': [peer: MeshPeer, reason: EndReason];
  /** So many messages of the peer were lost; it was asked for its last reports. */
  gap: [peer: MeshPeer, missed: number];
  /** So many messages to the peer were dropped, because it does not read. */
  drop: [peer: MeshPeer, messages: number];
}

/**
 * Connects the local bus with the actors of other processes: dcs-io nodes and processes of aktos-dcs v1, on this machine, in
 * the network and behind tunnels.
 *
 * ```ts
 * const mesh = new Mesh(bus, { name: 'boiler-room' });
 * await mesh.start();
 * ```
 */
export class Mesh extends EventEmitter<MeshEvents> {
  /** Counts the messages that pass this process. */
  readonly stats: MeshStats = newStats();
  readonly #bus: Bus;
  readonly #settings: MeshSettings;
  readonly #events: EventRelay;
  #member: Member | undefined;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  /** The move from loopback to the network, once the machine has its address. */
  #move: Promise<void> = Promise.resolve();
  #addressTimer: Timer | undefined;

  /** Throws BAD_CONFIG when the options would open the bus to a network and nothing says so. */
  constructor(bus: Bus, options: MeshOptions = {}) {
    super();
    this.#bus = bus;
    this.#settings = meshSettings(options);
    this.#events = new EventRelay(this, this.#settings.log);
  }

  /** This process's id on the wire, new at every start; empty before the start. */
  get id(): string {
    return this.#member?.info.id ?? '';
  }

  /** True when this process is the address broker of its machine. */
  get isBroker(): boolean {
    return this.#member?.v1.election.isBroker ?? false;
  }

  /** Sets what this node tells the others about itself. */
  describe(about: () => NodeAbout): void {
    this.#events.about = about;
  }

  /** The pins the others are told about. */
  get pins(): readonly PinInfo[] {
    return this.#events.about().pins;
  }

  /**
   * Binds the sockets and joins the mesh. Messages sent after that reach the processes of this machine that were there before.
   * When this machine does not have the address `listen` yet, because its network is not up, the mesh runs on loopback until
   * it has. Rejects with BAD_CONFIG (no address), NO_PERMISSION (a port below 1024),
   * NOT_SUPPORTED (no ZeroMQ for this machine) or STOPPED.
   */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** Leaves the mesh within 1 s; messages sent before still leave. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Addresses and port at which other dcs-io nodes reach this one, for diagnosis; empty before the start. */
  get address(): Pick<NodeInfo, 'addresses' | 'port'> {
    return this.#member?.info ?? { addresses: [], port: 0 };
  }

  /** Sends a heartbeat with this node's pins now. */
  announce(): void {
    this.#member?.presence.announce();
  }

  /** The dcs-io nodes with which this one has a session, or had one and dials again. */
  get links(): readonly MeshLink[] {
    const now = this.#bus.clock.now();
    return [...(this.#member?.peers.directory.nodes() ?? [])].flatMap((node) => {
      const { info, session, answered, since, missed, dropped } = node;
      if (!session && !answered) return [];
      const { id, name, boot, addresses, key } = info;
      const roundTripMs = session?.roundTripMs;
      return {
        ...{ id, name, boot, addresses, missed, dropped },
        open: session !== undefined,
        encrypted: key !== undefined,
        forMs: now - since,
        ...(roundTripMs !== undefined && { roundTripMs }),
      };
    });
  }

  /** The v1 processes heard directly within the last minute, with how long ago (ms). */
  get v1Processes(): readonly { readonly id: string; readonly silentMs: number }[] {
    const { v1Processes, peers } = this.#member ?? {};
    return (v1Processes?.known() ?? []).filter(({ id }) => !peers?.directory.get(id));
  }

  async #start(): Promise<void> {
    const { listen, log, security, insecure } = this.#settings;
    const own = security && loadKeys(security.keys);
    if (!isLoopback(listen) && (insecure || !security))
      log.warn({ listen }, 'the bus is open: everybody who reaches its ports can command the outputs');
    if (await this.#join(own, this.#settings)) return;
    log.warn({ listen }, `${listen} is not an address of this machine yet: until it is, the bus is on loopback alone`);
    await this.#join(own, onLoopback(this.#settings));
    this.#awaitAddress(own);
  }

  /** Resolves with false when this machine does not have the address to listen on. */
  async #join(own: KeyPair | undefined, settings: MeshSettings): Promise<boolean> {
    // Each member has a ZeroMQ context of its own. In a shared one, the authenticator's socket cannot be bound again before
    // ZeroMQ has destroyed the last member's, and ZeroMQ does not tell when it has.
    const sockets = await openSocketFactory(this.stats, settings.log, own);
    if (this.#stopped) throw stoppedError();
    const member = new Member(this.#bus, sockets, settings, own, this.#events);
    this.#member = member;
    try {
      await member.start();
    } catch (error) {
      await member.stop(0);
      if (this.#stopped) throw stoppedError();
      if (isIPv4(settings.listen) && systemCode(error) === 'EADDRNOTAVAIL') return false;
      throw bindError(error, settings.listen);
    }
    if (this.#stopped) throw stoppedError();
    return true;
  }

  #awaitAddress(own: KeyPair | undefined): void {
    if (this.#stopped) return;
    this.#addressTimer = this.#bus.clock.after(ADDRESS_MS, () => {
      if (ownAddresses().includes(this.#settings.listen)) this.#move = this.#moveToNetwork(own);
      else this.#awaitAddress(own);
    });
  }

  /** Moves from loopback to the network. Never rejects. */
  async #moveToNetwork(own: KeyPair | undefined): Promise<void> {
    const { log, listen } = this.#settings;
    try {
      await this.#member?.stop(LINGER_MS);
      if (this.#stopped) return;
      if (await this.#join(own, this.#settings)) {
        log.info({ listen }, `the bus listens on ${listen} now`);
        return;
      }
      await this.#join(own, onLoopback(this.#settings));
    } catch (error) {
      if (!this.#stopped) log.error({ err: error }, messageOf(error));
    }
    this.#awaitAddress(own);
  }

  async #stop(): Promise<void> {
    this.#addressTimer?.cancel();
    await this.#move;
    await this.#member?.stop(LINGER_MS);
    try {
      await this.#started;
    } catch {
      // The caller of start() has this error.
    }
  }
}

/** Emits a member's events on the mesh. A listener that throws harms no other. */
class EventRelay implements MemberListener {
  about: () => NodeAbout = () => ({ pins: [] });
  readonly #mesh: EventEmitter<MeshEvents>;
  readonly #log: Log;

  constructor(mesh: EventEmitter<MeshEvents>, log: Log) {
    this.#mesh = mesh;
    this.#log = log;
  }

  onPeerUp(peer: NodeInfo): void {
    this.#emit('peer-up', peer);
  }

  onPeerDown(peer: NodeInfo, reason: EndReason): void {
    this.#emit('peer-down', peer, reason);
  }

  onGap(peer: NodeInfo, missed: number): void {
    this.#emit('gap', peer, missed);
  }

  onDropped(peer: NodeInfo, messages: number): void {
    this.#emit('drop', peer, messages);
  }

  #emit<Name extends keyof MeshEvents>(name: Name, ...detail: MeshEvents[Name]): void {
    try {
      this.#mesh.emit<keyof MeshEvents>(name, ...detail);
    } catch (error) {
      this.#log.error({ err: error }, `a listener of '${name}' failed: ${messageOf(error)}`);
    }
  }
}

function stoppedError(): DcsError {
  return new DcsError('STOPPED', 'the mesh was stopped before it had started');
}

function bindError(error: unknown, listen: string): DcsError {
  const code = systemCode(error);
  if (code === 'EACCES') {
    return new DcsError('NO_PERMISSION', `this user may not bind the ports of the bus: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENODEV' || code === 'EINVAL') {
    return new DcsError('BAD_CONFIG', `${listen} is not an address of this machine`, {
      found: listen,
      expected: '127.0.0.1, 0.0.0.0 or an address of this machine',
      cause: error,
    });
  }
  return new DcsError('INTERNAL', `the bus could not be opened: ${messageOf(error)}`, { cause: error });
}
