import { Actor } from '../../bus/actor.ts';
import type { Attachment, BusLink } from '../../bus/bus.ts';
import type { DurationMs, Timer } from '../../clock/clock.ts';
import type { Envelope, Payload } from '../../message/envelope.ts';
import { encodeEnvelope } from '../../message/envelope.ts';
import { newId } from '../../message/id.ts';
import type { WebHost } from '../options.ts';
import type { PinBook } from './pin-book.ts';

/** How long the name of a browser program that has gone is known. */
const NAMED_MS: DurationMs = 60_000;
const SWEEP_MS: DurationMs = 2000;

/** Gets every message that passes; `text` encodes it, once for all. Must not throw. */
export type Listener = (envelope: Envelope, text: () => string) => void;

/**
 * The web's place on the bus. Browser programs are joined to it as processes are to the mesh: with ids of their own, and
 * heard by everybody. Requests of the HTTP API are those of one actor.
 */
export class Hub {
  readonly book: PinBook;
  readonly #host: WebHost;
  readonly #actor = new Actor('web');
  /** Who commands over HTTP, by the name of the user: what an output reports and the audit log name them. */
  readonly #users = new Map<string, Actor>();
  readonly #attachments: Attachment[] = [];
  readonly #id = newId();
  readonly #listeners = new Set<Listener>();
  #serial = 0;
  #link: BusLink | undefined;
  #sweeper: Timer | undefined;

  constructor(host: WebHost, book: PinBook) {
    this.#host = host;
    this.book = book;
  }

  start(): void {
    const { bus } = this.#host;
    this.#link = bus.link((envelope) => this.#pass(envelope));
    this.#attachments.push(bus.join(this.#actor));
    // The mesh does not tell this node of itself; the page shows it as it shows the others.
    this.#pass(this.envelope({ NodeMessage: this.#host.self() }));
    this.#actor.send({ UpdateIoMessage: {} });
    this.#sweep();
  }

  stop(): void {
    this.#sweeper?.cancel();
    for (const attachment of this.#attachments.splice(0)) attachment.detach();
    this.#link?.close();
    this.#listeners.clear();
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Brings a browser program's message to everybody else. False: its payload is not what its subject says. */
  send(envelope: Envelope, from: Listener): boolean {
    if (!this.#link?.inject(envelope)) return false;
    this.#pass(envelope, from);
    return true;
  }

  /** A browser program of this user sends under `id` from now on, until what this returns is called. */
  admit(id: string, user: string): () => void {
    this.#link?.name(id, senderName(user));
    return () => {
      // What it sent last may still be under way, and is to be written down under the name.
      this.#host.clock.after(NAMED_MS, () => this.#link?.name(id, undefined));
    };
  }

  /** A command of a user of the HTTP API and its one answer. Rejects with the DcsError it was refused with, or TIMEOUT. */
  request(user: string, payload: Payload, timeoutMs: number): Promise<Envelope> {
    return this.#actorOf(user).request(payload, { timeoutMs });
  }

  #actorOf(user: string): Actor {
    const known = this.#users.get(user);
    if (known) return known;
    const made = new Actor(senderName(user));
    this.#users.set(user, made);
    this.#attachments.push(this.#host.bus.join(made));
    return made;
  }

  /** Asks a pin nobody has heard of to report; resolves once it has, or when the time is over. */
  async ask(pin: string, timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#host.clock.after(timeoutMs, () => settle());
      const forget = this.listen(() => {
        if (this.book.pin(pin)) settle();
      });
      const settle = () => {
        timer.cancel();
        forget();
        resolve();
      };
      this.#actor.send({ UpdateIoMessage: { pin_name: pin } });
    });
  }

  /** A message of the web layer itself. */
  envelope(payload: Payload): Envelope {
    const msg_id = `${this.#id}.${this.#serial++}`;
    return Object.freeze({ sender: Object.freeze([this.#id]), timestamp: this.#host.clock.unix(), msg_id, payload });
  }

  #sweep(): void {
    this.#sweeper = this.#host.clock.after(SWEEP_MS, () => {
      for (const { node, name, boot } of this.book.silent(this.#host.self().node)) {
        this.#pass(this.envelope({ NodeMessage: { event: 'leave', node, name, boot, pins: [] } }));
      }
      this.#sweep();
    });
  }

  #pass(envelope: Envelope, from?: Listener): void {
    const { lost, ask } = this.book.note(envelope);
    let encoded: string | undefined;
    const text = () => {
      encoded ??= encodeEnvelope(envelope);
      return encoded;
    };
    for (const listener of this.#listeners) if (listener !== from) listener(envelope, text);
    for (const report of lost) this.#pass(this.envelope({ IoMessage: report }));
    for (const pin of ask) this.#actor.send({ UpdateIoMessage: { pin_name: pin } });
  }
}

/** Not the user's name alone: an actor of the configuration may be called the same. */
function senderName(user: string): string {
  return `web/${user}`;
}
