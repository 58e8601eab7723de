/** Counts what passes the mesh and what is dropped. The names are part of the HTTP API. */
export interface MeshStats {
  /** Messages sent by this process. */
  sent: number;
  /** Messages received, before any check. */
  received: number;
  /** Messages delivered to the local bus. */
  delivered: number;
  /** Messages of others passed on. */
  relayed: number;
  /** Messages received again: normal where there is more than one path. */
  duplicates: number;
  /** Reports dropped because a newer report of their pin came first, on another path. */
  overtaken: number;
  /** Messages of this process that came back. */
  echoes: number;
  /** Malformed frames, and datagrams that are no valid ping of a peer. */
  malformed: number;
  /** Frames longer than 1 MiB. */
  oversized: number;
  /** Malformed introductions, and contacts beyond the number that is kept. */
  badContacts: number;
  /** Connections refused because they have no allowed key. */
  refused: number;
  /** Messages and hellos under a false name, and commands that the sender's key may not give. */
  forged: number;
  /** Commands dropped because they were too old, or their sender has left. */
  stale: number;
  /** Messages of peers that were lost; their last reports were requested. */
  missed: number;
  /** Messages dropped because a peer does not read. */
  dropped: number;
  /** Frames that ZeroMQ refused. */
  sendDrops: number;
  /** Number of times this process became the address broker. */
  takeovers: number;
  /** Contacts and nodes forgotten because they did not answer. */
  expiredContacts: number;
  /** Other errors of the transport. */
  socketErrors: number;
}

export function newStats(): MeshStats {
  return {
    sent: 0,
    received: 0,
    delivered: 0,
    relayed: 0,
    duplicates: 0,
    overtaken: 0,
    echoes: 0,
    malformed: 0,
    oversized: 0,
    badContacts: 0,
    refused: 0,
    forged: 0,
    stale: 0,
    missed: 0,
    dropped: 0,
    sendDrops: 0,
    takeovers: 0,
    expiredContacts: 0,
    socketErrors: 0,
  };
}
