import { type Envelope, isRecord } from '../../message/envelope.ts';
import { type NodeInfo, readNode } from '../peer/node-info.ts';
import type { MeshStats } from '../stats.ts';
import { isPort, isRoutable } from '../transport/addresses.ts';
import type { Ports } from './socket-pair.ts';

/** Where a process of the mesh can be reached: its server link. */
export interface Contact {
  readonly addresses: readonly string[];
  readonly ports: Ports;
}

/** Most contacts taken from one list, and most addresses of one contact. */
const MAX_CONTACTS = 256;
const MAX_ADDRESSES = 16;

/**
 * Reads a contact list of the wire. What is not a contact is left out, as are addresses that could only be another
 * machine's own (loopback) or nobody's; undefined when it is no list at all.
 */
export function readContacts(found: unknown): Contact[] | undefined {
  if (!Array.isArray(found)) return undefined;
  const contacts: Contact[] = [];
  for (const entry of found.slice(0, MAX_CONTACTS)) {
    const contact = readContact(entry);
    if (contact) contacts.push(contact);
  }
  return contacts;
}

function readContact(found: unknown): Contact | undefined {
  if (!isRecord(found)) return undefined;
  const { 'ip-list': list, ports } = found;
  if (!Array.isArray(list) || !Array.isArray(ports) || ports.length !== 2) return undefined;
  const [rx, tx] = ports;
  if (!isPort(rx) || !isPort(tx)) return undefined;
  const addresses = list.filter((address) => typeof address === 'string' && isRoutable(address));
  // All its addresses were of a kind that must not travel: it is not ours to guess another.
  if (addresses.length === 0 && list.length > 0) return undefined;
  return { addresses: [...new Set<string>(addresses)].slice(0, MAX_ADDRESSES), ports: { rx, tx } };
}

/**
 * A contact list of another process as we pass it on: as it came, without addresses that could only mean the wrong
 * machine where it arrives. v1 hands on the near end of its tunnel, `localhost:8012:8013`, to everybody.
 */
export function withoutLocalAddresses(list: unknown): unknown {
  if (!Array.isArray(list)) return list;
  return list.flatMap((entry: unknown) => {
    const addresses: unknown = isRecord(entry) ? entry['ip-list'] : undefined;
    if (!isRecord(entry) || !Array.isArray(addresses) || addresses.length === 0) return [entry];
    const kept = addresses.filter((address) => typeof address === 'string' && isRoutable(address));
    return kept.length > 0 ? [{ ...entry, 'ip-list': kept }] : [];
  });
}

/** The wire form. */
export function writeContact({ addresses, ports }: Contact): Record<string, unknown> {
  return { 'ip-list': addresses, ports: [ports.rx, ports.tx] };
}

export function contactKey({ addresses, ports }: Contact): string {
  return `${[...addresses].sort().join(',')}:${ports.rx}:${ports.tx}`;
}

/** All its addresses are ours: the process is on this machine. */
export function isOnThisMachine(contact: Contact, own: readonly string[]): boolean {
  return contact.addresses.length > 0 && contact.addresses.every((address) => own.includes(address));
}

/** Both are the same process. */
export function sameContact(one: Contact, other: Contact): boolean {
  return (
    one.ports.rx === other.ports.rx &&
    one.ports.tx === other.ports.tx &&
    other.addresses.some((address) => one.addresses.includes(address))
  );
}

/** The subject of the mesh's own messages; no actor ever sees one. */
export const CONTROL = 'ProxyActorMessage';
/** How our own control messages begin, so that a link can listen to nothing else. */
export const CONTROL_PREFIX = `{"payload":{"${CONTROL}":`;
/**
 * A leaf's question 'do I hear you?'. A broker passes everything on to all its listeners, so the leaf hears it as soon as
 * its subscription is in force; nothing a handshake tells does say that.
 */
export const ECHO = 'EchoMessage';

/** What introductions need from the mesh. */
export interface IntroductionHost {
  readonly stats: MeshStats;
  /** Our own contact; undefined while nobody else could reach us anyway. */
  self(): Contact | undefined;
  /** What dcs-io nodes want to know of us. */
  node(): NodeInfo;
  /** Contacts worth handing on. */
  known(): readonly Contact[];
  /** Publishes a control message on the broker links. Returns its msg_id. */
  announce(data: Record<string, unknown>): string;
  /** Somebody answered our introduction with this contact. */
  answered(contact: Contact): void;
  /** A dcs-io node introduced itself, or answered. */
  met(node: NodeInfo): void;
  /** Somebody introduced itself. `direct`: it is linked to us, nobody passed it on. */
  introduced(contact: Contact, direct: boolean): void;
}

/** Our introductions whose answers still count; a broker that comes late answers an older one. */
const REMEMBERED = 16;

/** Who is there: introducing ourselves, answering introductions, and reading the answers. */
export class Introductions {
  readonly #host: IntroductionHost;
  readonly #sent: string[] = [];

  constructor(host: IntroductionHost) {
    this.#host = host;
  }

  /**
   * Tells everybody behind the broker links that we are here; they answer with their contacts. It also comes back to us,
   * which shows that a broker link works both ways.
   */
  introduce(): void {
    const self = this.#host.self();
    const id = this.#host.announce({
      new_contact_list: self ? [writeContact(self)] : [],
      node: this.#host.node(),
    });
    this.#sent.push(id);
    if (this.#sent.length > REMEMBERED) this.#sent.shift();
  }

  /**
   * Handles a control message of somebody else. `spoken`: a dcs-io broker passed it on to us; it tells dcs-io newcomers of
   * us, so that not everybody must.
   */
  handle(envelope: Envelope, spoken: boolean): void {
    const data = envelope.payload[CONTROL];
    if (!isRecord(data)) {
      this.#host.stats.badContacts++;
      return;
    }
    const { new_contact_list: introduced, contact_list: answered, reply_to: replyTo } = data;
    const newcomers = introduced === undefined ? undefined : readContacts(introduced);
    const contacts = answered === undefined ? undefined : readContacts(answered);
    if (!newcomers && !contacts) this.#host.stats.badContacts++;
    const node = readNode(data['node']);
    if (node) this.#host.met(node);
    if (newcomers) {
      if (!node || !spoken) this.#answer(envelope);
      if (node) return;
      for (const contact of newcomers) this.#host.introduced(contact, envelope.sender.length === 1);
    }
    if (contacts && typeof replyTo === 'string' && this.#sent.includes(replyTo)) {
      for (const contact of contacts) this.#host.answered(contact);
    }
  }

  #answer(envelope: Envelope): void {
    const self = this.#host.self();
    const list = [...(self ? [self] : []), ...this.#host.known()];
    this.#host.announce({ contact_list: list.map(writeContact), reply_to: envelope.msg_id, node: this.#host.node() });
  }
}

/** A control message of somebody else as it may be passed on: no address in it means another machine elsewhere. */
export function withoutLocalContacts(envelope: Envelope): Envelope {
  const data = envelope.payload[CONTROL];
  if (!isRecord(data)) return envelope;
  const cleaned: Record<string, unknown> = { ...data };
  for (const key of ['new_contact_list', 'contact_list'])
    if (key in data) cleaned[key] = withoutLocalAddresses(data[key]);
  return { ...envelope, payload: { ...envelope.payload, [CONTROL]: cleaned } };
}
