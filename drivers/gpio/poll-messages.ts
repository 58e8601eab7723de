/** What the main thread tells the polling thread; each is followed by a wake-up. */
export type ToPoller =
  | { readonly kind: 'watch'; readonly token: number; readonly fd: number }
  /** Stop watching and close the descriptor: only the thread that polls it knows when that is safe. */
  | { readonly kind: 'close'; readonly token: number }
  | { readonly kind: 'end' };

/** What the polling thread tells the main one. */
export type FromPoller =
  | 'ready'
  | { readonly closed: number }
  /** The kernel says the descriptor will give nothing more (its chip is gone). It is watched no longer, but still open. */
  | { readonly hangup: number };

export interface PollerStart {
  readonly memory: SharedArrayBuffer;
  /** An eventfd: readable when there are messages. */
  readonly wakeFd: number;
  /** The writing end of a pipe: a byte in it says that the ring has events. Quicker than a message. */
  readonly notifyFd: number;
}
