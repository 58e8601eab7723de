/** Counters of everything that passed the mesh and everything that did not. */
export interface MeshStats {
  /** Messages of this process handed to the mesh. */
  sent: number;
  /** Messages that came in, before any check. */
  received: number;
  /** Messages given to the local bus. */
  delivered: number;
  /** Messages of others passed on. */
  relayed: number;
  /** Messages that had been seen already: normal where there is more than one path. */
  duplicates: number;
  /** Reports that came after a newer one of the same pin, by another way. */
  overtaken: number;
  /** Our own messages that came back. */
  echoes: number;
  /** Frames that are not messages, and datagrams that are no ask, answer or good-bye of a peer. */
  malformed: number;
  /** Frames longer than any may be. */
  oversized: number;
  /** Introductions and contact lists that make no sense or came from where none may come; contacts beyond those kept. */
  badContacts: number;
  /** Connections without an allowed key. */
  refused: number;
  /** Messages and greetings whose sender is not who sent them, and commands its key may not send. */
  forged: number;
  /** Commands that were older than they may be, or of an earlier life of their sender. */
  stale: number;
  /** Messages a peer sent that never arrived; its last values were asked for. */
  missed: number;
  /** Messages not sent because a peer does not take them. */
  dropped: number;
  /** Frames ZeroMQ refused to take. */
  sendDrops: number;
  /** Times this process became the address broker. */
  takeovers: number;
  /** Contacts forgotten because they stayed dead. */
  expiredContacts: number;
  /** Errors of the transport that had no better place. */
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
