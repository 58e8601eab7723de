import { closeSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { createRingMemory, type EdgeEvent, EventRing, RING_EVENTS } from './event-ring.ts';
import type { Libc } from './libc.ts';
import type { FromPoller, PollerStart, ToPoller } from './poll-messages.ts';

/** Who gets the events of a watched descriptor. */
export interface EventSink {
  /** The object is reused for the next event. */
  event(event: EdgeEvent): void;
  /** No more events will come: the chip is gone, or the polling thread ended. */
  ended(error: DcsError): void;
}

/** Events handed over before the event loop may do something else. */
const SLICE = 2048;
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** The main thread's end of the polling thread. One serves all chips of the process. */
export class EdgePoller {
  readonly #worker: Worker;
  readonly #ring: EventRing;
  readonly #wakeFd: number;
  readonly #notifyFd: number;
  readonly #notified: Socket;
  readonly #sinks = new Map<number, EventSink>();
  readonly #closing = new Map<number, () => void>();
  readonly #wakeAtExit = () => this.#wake();
  #nextToken = 1;
  #failure: DcsError | undefined;

  /** Starts the thread. Rejects when it does not come up. */
  static start(libc: Libc, ringEvents: number = RING_EVENTS): Promise<EdgePoller> {
    return new Promise((resolve, reject) => {
      const poller: EdgePoller = new EdgePoller(libc, ringEvents, (error) => (error ? reject(error) : resolve(poller)));
    });
  }

  private constructor(libc: Libc, ringEvents: number, started: (error?: DcsError) => void) {
    const memory = createRingMemory(ringEvents);
    this.#ring = new EventRing(memory);
    this.#wakeFd = libc.eventfd();
    const { reader, writer } = libc.pipe();
    this.#notifyFd = writer;
    const drain = () => {
      this.#drain();
      return true;
    };
    // One buffer for all: what is in it does not matter, only that something came.
    const onread = { buffer: new Uint8Array(16), callback: drain };
    const options = { fd: reader, readable: true, writable: false, onread };
    this.#notified = new Socket(options);
    const workerData: PollerStart = { memory, wakeFd: this.#wakeFd, notifyFd: writer };
    this.#worker = new Worker(workerFile(), { workerData, trackUnmanagedFds: false, execArgv: loader() });
    this.#worker.on('message', (message: FromPoller) => {
      if (message === 'ready') started();
      else if ('closed' in message) this.#closed(message.closed);
      else
        this.#sinks
          .get(message.hangup)
          ?.ended(new DcsError('PORT_DOWN', 'the kernel closed the line: its chip is gone'));
    });
    this.#worker.on('error', (error) => {
      this.#fail(
        new DcsError('INTERNAL', `the gpio polling thread failed: ${messageOf(error)}`, { cause: error }),
        started,
      );
    });
    this.#worker.on('exit', () => this.#fail(new DcsError('PORT_DOWN', 'the gpio polling thread has ended'), started));
    // A process that exits joins its threads: this one must not sit in poll(2) meanwhile.
    process.on('exit', this.#wakeAtExit);
  }

  /** Whether it can be used; false once its thread has ended. */
  get alive(): boolean {
    return this.#failure === undefined;
  }

  /** Whether it alone keeps the process from ending. */
  keepsProcess(keeps: boolean): void {
    for (const one of [this.#worker, this.#notified]) {
      if (keeps) one.ref();
      else one.unref();
    }
  }

  /** Watches a descriptor, and owns it from now on. Returns the token to close it with. */
  watch(fd: number, sink: EventSink): number {
    const token = this.#nextToken++;
    this.#sinks.set(token, sink);
    this.#send({ kind: 'watch', token, fd });
    return token;
  }

  /** Stops watching and closes the descriptor; the sink hears nothing more. Resolves when the kernel has it back. */
  close(token: number): Promise<void> {
    if (!this.#sinks.delete(token) || !this.alive) return Promise.resolve();
    return new Promise((resolve) => {
      this.#closing.set(token, resolve);
      this.#send({ kind: 'close', token });
    });
  }

  /** Ends the thread. Everything watched must have been closed. */
  async end(): Promise<void> {
    if (!this.alive) return;
    const exited = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    this.#send({ kind: 'end' });
    await exited;
  }

  #send(message: ToPoller): void {
    if (!this.alive) return;
    this.#worker.postMessage(message);
    this.#wake();
  }

  #wake(): void {
    if (this.alive) writeSync(this.#wakeFd, ONE);
  }

  readonly #take = (event: EdgeEvent): void => this.#sinks.get(event.token)?.event(event);

  readonly #drain = (): void => {
    const more = this.#ring.drain(SLICE, this.#take);
    if (this.#ring.fed()) this.#wake();
    if (more) setImmediate(this.#drain);
  };

  #closed(token: number): void {
    this.#closing.get(token)?.();
    this.#closing.delete(token);
  }

  #fail(error: DcsError, started: (error?: DcsError) => void): void {
    if (this.#failure) return;
    this.#failure = error;
    process.off('exit', this.#wakeAtExit);
    closeSync(this.#wakeFd);
    closeSync(this.#notifyFd);
    this.#notified.destroy();
    started(error);
    for (const sink of [...this.#sinks.values()]) sink.ended(error);
    this.#sinks.clear();
    for (const resolve of this.#closing.values()) resolve();
    this.#closing.clear();
  }
}

/** The worker lies beside this file, compiled or not, as this file is. */
function workerFile(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './poll-worker.ts' : './poll-worker.js', import.meta.url);
}

/** From source (tests), the worker needs something that understands TypeScript on every Node. */
function loader(): string[] {
  return import.meta.url.endsWith('.ts') ? ['--import', import.meta.resolve('jiti/register')] : [];
}
