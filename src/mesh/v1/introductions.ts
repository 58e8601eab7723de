import { type Envelope, isRecord } from '../../message/envelope.ts';
import { type LocalNode, type NodeInfo, readNode } from '../local-node.ts';
import { type Contact, isPort, isRoutable } from '../transport/addresses.ts';

/** Most contacts read from one list, and most addresses of one contact. */
const MAX_CONTACTS = 256;
const MAX_ADDRESSES = 16;

/**
 * Reads a contact list; `undefined` when it is no list. Malformed contacts are left out, and so are addresses that cannot be
 * reached from another machine, such as loopback.
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
  // All its addresses are valid on its own machine only.
  if (addresses.length === 0 && list.length > 0) return undefined;
  return { addresses: [...new Set<string>(addresses)].slice(0, MAX_ADDRESSES), ports: { rx, tx } };
}

/**
 * A contact list of another process as it may be passed on: without addresses that mean another machine where it arrives.
 * v1 sends the near end of its tunnel, `localhost:8012:8013`, to everybody.
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

/** Returns the wire form. */
export function writeContact({ addresses, ports }: Contact): Record<string, unknown> {
  return { 'ip-list': addresses, ports: [ports.rx, ports.tx] };
}

export function contactKey({ addresses, ports }: Contact): string {
  return `${[...addresses].sort().join(',')}:${ports.rx}:${ports.tx}`;
}

/** True when all addresses of a contact are ours: its process is on this machine. */
export function isOnThisMachine(contact: Contact, own: readonly string[]): boolean {
  return contact.addresses.length > 0 && contact.addresses.every((address) => own.includes(address));
}

/** True when both contacts are the same process. */
export function sameContact(one: Contact, other: Contact): boolean {
  return (
    one.ports.rx === other.ports.rx &&
    one.ports.tx === other.ports.tx &&
    other.addresses.some((address) => one.addresses.includes(address))
  );
}

/** The subject of introductions; no actor ever sees one. */
export const INTRODUCTION = 'ProxyActorMessage';
/** First bytes of an introduction, so that a link can subscribe to introductions only. */
export const INTRODUCTION_PREFIX = `{"payload":{"${INTRODUCTION}":`;
/**
 * The subject by which a light client learns that its subscription is in force: the broker publishes the message to all its
 * subscribers, the sender included. The handshake of ZeroMQ does not tell that.
 */
export const ECHO = 'EchoMessage';

/** A message by which processes get to know each other. */
export interface Introduction {
  /** Set when the sender is a dcs-io node. */
  readonly node: NodeInfo | undefined;
  /** Contacts of a process that introduces itself; empty when other machines cannot reach it. */
  readonly newcomers: readonly Contact[] | undefined;
  /** Contacts in answer to an introduction, and the msg_id of that. */
  readonly answers: readonly Contact[] | undefined;
  readonly replyTo: string | undefined;
}

/** Reads an introduction; `undefined` when its data is no object. */
export function readIntroduction({ payload }: Envelope): Introduction | undefined {
  const data = payload[INTRODUCTION];
  if (!isRecord(data)) return undefined;
  const { new_contact_list: newcomers, contact_list: answers, reply_to: replyTo, node } = data;
  return {
    node: readNode(node),
    newcomers: readContacts(newcomers),
    answers: readContacts(answers),
    replyTo: typeof replyTo === 'string' ? replyTo : undefined,
  };
}

/** The data by which this node introduces itself. */
export function introductionOf(localNode: LocalNode): Record<string, unknown> {
  const own = localNode.contact();
  return { new_contact_list: own ? [writeContact(own)] : [], node: localNode.info() };
}

/** The data of the answer to an introduction. `known`: contacts that answer now. */
export function answerTo(
  { msg_id }: Envelope,
  localNode: LocalNode,
  known: readonly Contact[],
): Record<string, unknown> {
  const own = localNode.contact();
  const list = [...(own ? [own] : []), ...known];
  return { contact_list: list.map(writeContact), reply_to: msg_id, node: localNode.info() };
}

/** An introduction of another process as it may be passed on. */
export function withoutLocalContacts(envelope: Envelope): Envelope {
  const data = envelope.payload[INTRODUCTION];
  if (!isRecord(data)) return envelope;
  const cleaned: Record<string, unknown> = { ...data };
  for (const key of ['new_contact_list', 'contact_list'])
    if (key in data) cleaned[key] = withoutLocalAddresses(data[key]);
  return { ...envelope, payload: { ...envelope.payload, [INTRODUCTION]: cleaned } };
}
