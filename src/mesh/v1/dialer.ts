import type { Clock, MonotonicMs } from '../../clock/clock.ts';
import type { NodeInfo } from '../local-node.ts';
import { type Contact, type Endpoint, endpointText } from '../transport/addresses.ts';
import type { SocketFactory } from '../transport/socket-factory.ts';
import { contactKey, isOnThisMachine, sameContact } from './introductions.ts';
import type { SocketPair } from './socket-pair.ts';

/** Time after which an unreachable contact is forgotten (ms). Its process introduces itself when it returns. */
export const CONTACT_EXPIRY_MS = 30_000;
/** Most processes dialled at a time: a list may be of any length, and each process costs sockets. */
const MAX_DIALLED = 1024;

interface Dialled {
  readonly contact: Contact;
  /** The address that answered first; the others are disconnected, so that nothing comes twice. */
  live: Endpoint | undefined;
  /** Since when no address answers. */
  dead: MonotonicMs;
  endpoints: readonly Endpoint[];
}

/** Connects the client link to the server links of other processes, at one address each, and forgets dead ones. */
export class Dialer {
  readonly #pair: SocketPair;
  readonly #clock: Clock;
  readonly #sockets: SocketFactory;
  readonly #dialled = new Map<string, Dialled>();
  readonly #byEndpoint = new Map<string, Dialled>();

  constructor(pair: SocketPair, clock: Clock, sockets: SocketFactory) {
    this.#pair = pair;
    this.#clock = clock;
    this.#sockets = sockets;
  }

  /** Connects to a contact, unless it is dialled already. `own`: this machine's addresses. */
  dial(contact: Contact, own: readonly string[]): void {
    const key = contactKey(contact);
    if (this.#dialled.has(key)) return;
    // A process names all its addresses, others name the one that answers. Both are one process: otherwise the connection
    // that works would be forgotten together with the one that does not.
    for (const [other, entry] of this.#dialled) {
      if (!sameContact(entry.contact, contact)) continue;
      if (entry.live || contact.addresses.every((address) => entry.contact.addresses.includes(address))) return;
      this.#forget(other, entry);
    }
    if (this.#dialled.size >= MAX_DIALLED) {
      this.#sockets.stats.badContacts++;
      return;
    }
    const entry: Dialled = {
      contact,
      live: undefined,
      dead: this.#clock.now(),
      endpoints: addressesToTry(contact, own).map((host) => ({ host, ...contact.ports })),
    };
    this.#dialled.set(key, entry);
    this.#connect(entry);
  }

  /** An endpoint of the client link is connected. */
  up(endpoint: Endpoint): void {
    const entry = this.#byEndpoint.get(endpointText(endpoint));
    if (!entry || entry.live) return;
    entry.live = endpoint;
    for (const other of entry.endpoints) {
      if (other === endpoint) continue;
      this.#pair.disconnect(other);
      this.#byEndpoint.delete(endpointText(other));
    }
  }

  /** An endpoint of the client link has lost its connection. */
  down(endpoint: Endpoint): void {
    const entry = this.#byEndpoint.get(endpointText(endpoint));
    if (!entry || entry.live !== endpoint) return;
    entry.live = undefined;
    entry.dead = this.#clock.now();
    this.#connect(entry);
  }

  /** Contacts that answer now, with the address that does: only these are passed on to others. */
  verified(): readonly Contact[] {
    return [...this.#dialled.values()].flatMap(({ contact, live }) =>
      live && contact.addresses.includes(live.host) ? [{ addresses: [live.host], ports: contact.ports }] : [],
    );
  }

  /** Disconnects from a dcs-io node: there is a session with it now. */
  release({ addresses, server }: NodeInfo): void {
    for (const [key, entry] of this.#dialled) {
      const { contact } = entry;
      if (contact.ports.rx !== server.rx || contact.ports.tx !== server.tx) continue;
      if (contact.addresses.some((address) => addresses.includes(address))) this.#forget(key, entry);
    }
  }

  /** Forgets contacts that have been dead for too long. Call it every few seconds. */
  sweep(): void {
    const now = this.#clock.now();
    for (const [key, entry] of this.#dialled) {
      if (entry.live || now - entry.dead < CONTACT_EXPIRY_MS) continue;
      this.#forget(key, entry);
      this.#sockets.stats.expiredContacts++;
      this.#sockets.log.info({ contact: entry.contact }, 'a contact does not answer and is forgotten');
    }
  }

  #forget(key: string, entry: Dialled): void {
    for (const endpoint of entry.endpoints) {
      this.#pair.disconnect(endpoint);
      this.#byEndpoint.delete(endpointText(endpoint));
    }
    this.#dialled.delete(key);
  }

  #connect(entry: Dialled): void {
    for (const endpoint of entry.endpoints) {
      this.#byEndpoint.set(endpointText(endpoint), entry);
      this.#pair.connect(endpoint);
    }
  }
}

/**
 * A process of this machine answers at any of its addresses, so one is enough. A process without an address is on a machine
 * that has only loopback, so on this one.
 */
function addressesToTry(contact: Contact, own: readonly string[]): readonly string[] {
  if (contact.addresses.length === 0) return ['127.0.0.1'];
  return isOnThisMachine(contact, own) ? contact.addresses.slice(0, 1) : contact.addresses;
}
