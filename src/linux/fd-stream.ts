import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Libc } from './libc.ts';

/** Receives what is read from a descriptor. */
export interface FdListener {
  /** `bytes` bytes have been read into the stream's buffer; they are overwritten by the next read. */
  data(bytes: number): void;
  /** Nothing more can be read: the kernel reports an error, or the end. */
  ended(error: Error): void;
}

/**
 * Reads a descriptor of any kind in Node's own event loop (libuv, epoll): without a thread, without polling. Meant for
 * descriptors that deliver whole records: GPIO line requests, input devices, CAN sockets.
 *
 * Node decides how to watch a descriptor by its kind, and watches pipes and sockets only. So it gets the reading end of a
 * pipe; the real descriptor takes the place of that end before the loop first looks at it.
 */
export class FdStream {
  /** The descriptor from now on. */
  readonly fd: number;
  readonly #socket: Socket;
  readonly #listener: FdListener;
  #closed: Promise<void> | undefined;

  /**
   * Owns `fd` from now on, unless it throws (a SystemCallError). Streams that handle their data at once may share one
   * `buffer`.
   */
  constructor(
    libc: Pick<Libc, 'pipe' | 'replace' | 'setNonBlocking'>,
    fd: number,
    buffer: Uint8Array,
    listener: FdListener,
  ) {
    this.#listener = listener;
    const { reader, writer } = libc.pipe();
    this.fd = reader;
    const onread = { buffer, callback: (bytes: number) => this.#read(bytes) };
    // A variable: the types of Node.js know `onread` in a connecting socket only.
    const options = { fd: reader, readable: true, writable: false, onread };
    this.#socket = new Socket(options);
    this.#socket.once('error', (error) => this.#end(error));
    this.#socket.once('end', () => this.#end(new Error('end of file')));
    try {
      libc.setNonBlocking(fd);
      libc.replace(fd, reader);
    } catch (error) {
      void this.close();
      throw error;
    } finally {
      closeSync(writer);
    }
    closeSync(fd);
  }

  /** Calls the listener no more, and closes the descriptor. Resolves once the kernel has closed it. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      // After its end a socket closes by itself.
      if (this.#socket.closed) resolve();
      this.#socket.once('close', () => resolve());
      this.#socket.destroy();
    });
    return this.#closed;
  }

  /** Returns whether to go on reading. */
  #read(bytes: number): boolean {
    if (!this.#closed) this.#listener.data(bytes);
    return !this.#closed;
  }

  #end(error: Error): void {
    if (!this.#closed) this.#listener.ended(error);
  }
}
