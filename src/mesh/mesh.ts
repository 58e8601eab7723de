import { EventEmitter } from 'node:events';
import { isIPv4 } from 'node:net';
import type { Bus } from '../bus/bus.ts';
import type { DurationMs, Timer } from '../clock/clock.ts';
import { DcsError, messageOf, systemCode } from '../errors/errors.ts';
import type { NodeAbout, PinInfo } from '../message/payloads.ts';
import { Member } from './member.ts';
import { checkOptions, type MeshOptions, onLoopback } from './options.ts';
import type { NodeInfo } from './peer/node-info.ts';
import type { EndReason } from './peer/session.ts';
import { type KeyPair, loadKeys } from './security/keys.ts';
import { type MeshStats, newStats } from './stats.ts';
import { isLoopback, ownAddresses } from './transport/addresses.ts';
import { LINGER_MS, openSocketFactory } from './transport/socket-factory.ts';

export type { MeshOptions } from './options.ts';
export type { MeshStats } from './stats.ts';

/** How often a machine that has not got its address yet is asked for it (ms). */
const ADDRESS_MS: DurationMs = 1000;

/** Another dcs-io node, as its events name it. */
export type MeshPeer = Pick<NodeInfo, 'id' | 'name' | 'boot' | 'addresses'>;

/** A direct link with another dcs-io node. */
export interface MeshLink extends MeshPeer {
  readonly open: boolean;
  /** How long it has been open, or not. */
  readonly forMs: DurationMs;
  readonly encrypted: boolean;
  /** Of a datagram there and back; unknown within a machine. */
  readonly roundTripMs?: DurationMs;
  /** Messages that did not arrive, and that were not sent because the peer does not take them. */
  readonly missed: number;
  readonly dropped: number;
}

/** `mesh.on('peer-up', (peer) => …)`. Processes of v1 have no events: they neither beat nor say goodbye. */
export interface MeshEvents {
  'peer-up': [peer: MeshPeer];
  /** Within 2 s of the peer's death, hang or disappearance from the network. */
  'peer-down': [peer: MeshPeer, reason: EndReason];
  /** This many messages of the peer did not arrive; its last values were asked for. */
  gap: [peer: MeshPeer, missed: number];
  /** This many messages were not sent, because the peer does not take them. */
  drop: [peer: MeshPeer, messages: number];
}

/**
 * This process's place among the others: joins the local bus to the actors of all processes that speak aktos-dcs v1, on
 * this machine, in the LAN and behind tunnels.
 *
 * ```ts
 * const mesh = new Mesh(bus, { listen: '127.0.0.1', rx: 5012, tx: 5013, brokers: [], proxyBrokers: [], insecure: false, log });
 * await mesh.start();
 * ```
 */
export class Mesh extends EventEmitter<MeshEvents> {
  readonly stats: MeshStats = newStats();
  readonly #bus: Bus;
  readonly #options: MeshOptions;
  #member: Member | undefined;
  #about: () => NodeAbout = () => ({ pins: [] });
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  /** The way from loopback to the network, while the machine has not got its address. */
  #move: Promise<void> = Promise.resolve();
  #waiting: Timer | undefined;

  /** Throws BAD_CONFIG when the options would open the bus to a network without saying so. */
  constructor(bus: Bus, options: MeshOptions) {
    super();
    checkOptions(options);
    this.#bus = bus;
    this.#options = options;
  }

  /** This process's id on the wire, new at every start; empty until it has started. */
  get id(): string {
    return this.#member?.info.id ?? '';
  }

  /** Whether this process is the address broker of its machine. */
  get isBroker(): boolean {
    return this.#member?.role.isBroker ?? false;
  }

  /** Says what this node tells the others about itself. */
  describe(about: () => NodeAbout): void {
    this.#about = about;
  }

  /** The pins the others are told about. */
  get pins(): readonly PinInfo[] {
    return this.#about().pins;
  }

  /**
   * Binds the sockets and joins the mesh. Once it has resolved, what is sent reaches the processes of this machine that
   * were there before. An address that this machine has not got, as before its network is up, is waited for; until then
   * the mesh is on loopback alone. Rejects with BAD_CONFIG (no address), NO_PERMISSION (a port below 1024),
   * NOT_SUPPORTED (no ZeroMQ for this machine) or STOPPED.
   */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** Leaves the mesh. Idempotent, at most 1 s; what was sent before still leaves. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Where other dcs-io nodes reach this one; for diagnosis. Only once it has started. */
  get address(): Pick<NodeInfo, 'addresses' | 'port'> {
    return this.#member?.info ?? { addresses: [], port: 0 };
  }

  /** Tells everybody of this node and its pins now, without waiting for the next heartbeat. */
  announce(): void {
    this.#member?.presence.announce();
  }

  /** The dcs-io nodes this one has a direct link with, or had and is calling again. */
  get links(): readonly MeshLink[] {
    const now = this.#bus.clock.now();
    return [...(this.#member?.peers.directory.entries() ?? [])].flatMap((entry) => {
      const { info, session, answered, since, missed, dropped } = entry;
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

  /** The processes of aktos-dcs v1 that were heard directly within the last minute, with how long ago (ms). */
  get strangers(): readonly { readonly id: string; readonly silentMs: number }[] {
    const { directSenders: neighbours, peers } = this.#member ?? {};
    return (neighbours?.known() ?? []).filter(({ id }) => !peers?.directory.get(id));
  }

  /** A listener that throws harms nobody else. */
  #tell<Name extends keyof MeshEvents>(name: Name, ...detail: MeshEvents[Name]): void {
    try {
      this.emit<keyof MeshEvents>(name, ...detail);
    } catch (error) {
      this.#options.log.error({ err: error }, `a listener of '${name}' failed: ${messageOf(error)}`);
    }
  }

  async #start(): Promise<void> {
    const { listen, log, security, insecure } = this.#options;
    const own = security && loadKeys(security.keys);
    if (!isLoopback(listen) && (insecure || !security))
      log.warn({ listen }, 'the bus is open: whoever reaches it can command the outputs');
    if (await this.#join(own, this.#options)) return;
    log.warn({ listen }, `${listen} is not an address of this machine yet: until it is, the bus is on loopback alone`);
    await this.#join(own, onLoopback(this.#options));
    this.#awaitAddress(own);
  }

  /** False: this machine has not got the address to listen on. */
  async #join(own: KeyPair | undefined, options: MeshOptions): Promise<boolean> {
    // Of its own: within one, the socket that decides who may come in cannot be opened again before ZeroMQ has done away
    // with the last member's, and nobody says when it has.
    const sockets = await openSocketFactory(this.stats, options.log, own);
    if (this.#stopped) throw stoppedError();
    const member = new Member(this.#bus, sockets, options, own, () => this.#about(), {
      peerUp: (peer) => this.#tell('peer-up', peer),
      peerDown: (peer, reason) => this.#tell('peer-down', peer, reason),
      gap: (peer, missed) => this.#tell('gap', peer, missed),
      drop: (peer, messages) => this.#tell('drop', peer, messages),
    });
    this.#member = member;
    try {
      await member.start();
    } catch (error) {
      await member.stop(0);
      if (this.#stopped) throw stoppedError();
      if (isIPv4(options.listen) && systemCode(error) === 'EADDRNOTAVAIL') return false;
      throw bindError(error, options.listen);
    }
    if (this.#stopped) throw stoppedError();
    return true;
  }

  #awaitAddress(own: KeyPair | undefined): void {
    if (this.#stopped) return;
    this.#waiting = this.#bus.clock.after(ADDRESS_MS, () => {
      if (ownAddresses().includes(this.#options.listen)) this.#move = this.#moveOut(own);
      else this.#awaitAddress(own);
    });
  }

  /** From loopback to the network. Never rejects. */
  async #moveOut(own: KeyPair | undefined): Promise<void> {
    const { log, listen } = this.#options;
    try {
      await this.#member?.stop(LINGER_MS);
      if (this.#stopped) return;
      if (await this.#join(own, this.#options)) {
        log.info({ listen }, `the bus listens on ${listen} now`);
        return;
      }
      await this.#join(own, onLoopback(this.#options));
    } catch (error) {
      if (!this.#stopped) log.error({ err: error }, messageOf(error));
    }
    this.#awaitAddress(own);
  }

  async #stop(): Promise<void> {
    this.#waiting?.cancel();
    await this.#move;
    await this.#member?.stop(LINGER_MS);
    try {
      await this.#started;
    } catch {
      // Whoever called start was told.
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
