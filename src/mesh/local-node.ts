import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Clock, DurationMs, MonotonicMs } from '../clock/clock.ts';
import { type Envelope, isRecord, newId, type Payload } from '../message/envelope.ts';
import { ioMessageOf, type NodeAbout, type NodeMessage } from '../message/payloads.ts';
import { v1Listen } from './options.ts';
import { type Contact, isPort, isRoutable, type Ports, reachableAddresses } from './transport/addresses.ts';

/** A dcs-io node as it describes itself in hello, welcome and introductions. */
export interface NodeInfo {
  /** Id on the wire, new at every start. */
  readonly id: string;
  readonly name: string;
  /** New at every start of the process; longer than the id, so that it never repeats. */
  readonly boot: string;
  /** Equal for processes that share one loopback interface. */
  readonly machine: string;
  /** Addresses for other machines; empty when it listens on loopback only. */
  readonly addresses: readonly string[];
  /** Address for processes of its own machine, when it is not 127.0.0.1. */
  readonly local?: string;
  /** Port at which it accepts sessions. */
  readonly port: number;
  /** Ports of its v1 server link. */
  readonly server: Ports;
  /** Public key, when its sessions are encrypted. */
  readonly key?: string;
}

const MAX_NODES = 1024;

/** Reads what another node says about itself; `undefined` when it is malformed. */
export function readNode(found: unknown): NodeInfo | undefined {
  if (!isRecord(found)) return undefined;
  const { id, name, boot, machine, addresses, local, port, server, key } = found;
  if (!isText(id, 64) || !isText(name, 256) || !isText(boot, 64) || !isText(machine, 64)) return undefined;
  if (
    (local !== undefined && !isText(local, 64)) ||
    !isPort(port) ||
    !isRecord(server) ||
    !isPort(server['rx']) ||
    !isPort(server['tx'])
  ) {
    return undefined;
  }
  if (!Array.isArray(addresses) || (key !== undefined && !isText(key, 40))) return undefined;
  return {
    id,
    name,
    boot,
    machine,
    port,
    ...(local !== undefined && isRoutable(local) && { local }),
    addresses: addresses.filter((address) => isText(address, 64) && isRoutable(address)).slice(0, 16),
    server: { rx: server['rx'], tx: server['tx'] },
    ...(key !== undefined && { key }),
  };
}

/** Reads a list of nodes; malformed entries are left out. */
export function readNodes(found: unknown): NodeInfo[] {
  if (!Array.isArray(found)) return [];
  return found.slice(0, MAX_NODES).flatMap((entry) => readNode(entry) ?? []);
}

/** The addresses at which `from` can dial `to`, best first. Empty when only `to` can dial `from`. */
export function waysTo(to: NodeInfo, from: NodeInfo): readonly string[] {
  return to.machine === from.machine ? [to.local ?? '127.0.0.1'] : to.addresses;
}

/** The present addresses of a node that listens on `listen`. */
function addressesOf(listen: string): Pick<NodeInfo, 'addresses' | 'local' | 'machine'> {
  return { addresses: reachableAddresses(listen), machine: machineId(), ...(isRoutable(listen) && { local: listen }) };
}

/**
 * An id of the machine or container: two processes with the same id reach each other over loopback. It is made of the
 * kernel's boot id and the network namespace.
 */
function machineId(): string {
  const parts = [hostname()];
  try {
    parts.push(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), readlinkSync('/proc/self/ns/net'));
  } catch {
    parts.push('no /proc');
  }
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
}

function isText(found: unknown, longest: number): found is string {
  return typeof found === 'string' && found.length > 0 && found.length <= longest;
}

/** Time for which the addresses of this machine are cached (ms): it may get another one while the process runs. */
const ADDRESSES_MS: DurationMs = 1000;

/** Name and address of this process as others see them. */
export interface Identity {
  readonly name?: string;
  /** Address it listens on; `undefined` when no other process can dial it. */
  readonly listen?: string;
  readonly insecure?: boolean;
}

/** This process as other nodes see it: its id, addresses and key, and the messages it sends itself. */
export class LocalNode {
  readonly id: string = newId();
  readonly boot: string = newId(12);
  readonly name: string;
  readonly #clock: Clock;
  readonly #identity: Identity;
  readonly #key: string | undefined;
  #serverPorts: Ports = { rx: 1, tx: 1 };
  #acceptorPort = 1;
  #info: NodeInfo | undefined;
  #infoAt: MonotonicMs = 0;
  #serial = 0;

  /** `key`: this node's public key, when its sessions are encrypted. */
  constructor(clock: Clock, identity: Identity, key: string | undefined) {
    this.#clock = clock;
    this.#identity = identity;
    this.#key = key;
    this.name = identity.name ?? this.id;
  }

  /** Sets the ports of the v1 server link and of the acceptor. */
  setPorts(server: Ports, acceptor: number): void {
    this.#serverPorts = server;
    this.#acceptorPort = acceptor;
    this.#info = undefined;
  }

  /** Returns the description for other dcs-io nodes. */
  info(): NodeInfo {
    const now = this.#clock.now();
    if (this.#info && now - this.#infoAt < ADDRESSES_MS) return this.#info;
    const { listen } = this.#identity;
    this.#infoAt = now;
    this.#info = {
      ...{ id: this.id, name: this.name, boot: this.boot },
      ...(listen === undefined ? { addresses: [], machine: `client-${this.id}` } : addressesOf(listen)),
      port: this.#acceptorPort,
      server: this.#serverPorts,
      ...(this.#key !== undefined && { key: this.#key }),
    };
    return this.#info;
  }

  /** Returns the contact for v1 processes; `undefined` when no other machine can reach this one. */
  contact(): Contact | undefined {
    const { listen, insecure = false } = this.#identity;
    if (listen === undefined) return undefined;
    const { addresses } = addressesOf(v1Listen({ listen, insecure }));
    return addresses.length > 0 ? { addresses, ports: this.#serverPorts } : undefined;
  }

  /** The data of a NodeMessage about this node. */
  describe(event: NodeMessage['event'], about: NodeAbout): NodeMessage {
    return { event, node: this.id, name: this.name, boot: this.boot, ...about };
  }

  /** The answer to a command that is not carried out. */
  refusal(command: Envelope, code: string, message: string): Envelope {
    const pin = ioMessageOf(command.payload);
    const about = pin ? { pin_name: pin.pin_name } : {};
    return this.envelope({ IoErrorMessage: { ...about, code, message, reply_to: command.msg_id } });
  }

  /** A message of this node itself, not of one of its actors. */
  envelope(payload: Payload): Envelope {
    const msg_id = `${this.id}.${this.#serial++}`;
    return Object.freeze({ sender: Object.freeze([this.id]), timestamp: this.#clock.unix(), msg_id, payload });
  }
}
