import { isRecord } from '../message/envelope.ts';
import { isRoutable } from './addresses.ts';
import { isPort } from './endpoint.ts';
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
export function travelling(list: unknown): unknown {
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
