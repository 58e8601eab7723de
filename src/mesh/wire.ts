/** One connection of a session, from our end: our dealer at the peer's door, or the peer's dealer at ours. */
export interface Wire {
  /** We called the peer; otherwise it called us. */
  readonly dialled: boolean;
  /** Public key of the peer, proven, when the mesh is encrypted. */
  readonly key: string | undefined;
  /** Hands a frame to the transport. Rejects when it cannot be taken now (EAGAIN) or the peer is gone (EHOSTUNREACH). */
  send(text: string): Promise<void>;
  /** `linger`: what was sent may still leave. */
  close(linger: boolean): void;
}
