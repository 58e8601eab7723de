import { Actor } from '../../bus/actor.ts';
import type { Attachment, BusTransport } from '../../bus/bus.ts';
import type { DurationMs, Timer } from '../../clock/clock.ts';
import { type Envelope, encodeEnvelope, newId, type Payload } from '../../message/envelope.ts';
import type { WebHost } from '../options.ts';
import type { BusState } from './bus-state.ts';

/** How long the name of a browser program that has gone is known. */
const SENDER_NAME_KEPT_MS: DurationMs = 60_000;
const SWEEP_MS: DurationMs = 2000;

/** Gets every message that passes; `text` encodes it, once for all. Must not throw. */
export type BridgeListener = (envelope: Envelope, text: () => string) => void;

/**
 * The web's place on the bus. Browser programs are joined to it as processes are to the mesh: with ids of their own, and
 * heard by everybody. Requests of the HTTP API are those of one actor.
 */
export class BusBridge {
  readonly state: BusState;
  readonly #host: WebHost;
  readonly #actor = new Actor('web');
  /** Who commands over HTTP, by the name of the user: what an output reports and the audit log name them. */
  readonly #users = new Map<string, Actor>();
  readonly #attachments: Attachment[] = [];
  readonly #id = newId();
  readonly #listeners = new Set<BridgeListener>();
  #serial = 0;
  #link: BusTransport | undefined;
  #sweepTimer: Timer | undefined;

  constructor(host: WebHost, book: BusState) {
    this.#host = host;
    this.state = book;
  }

  start(): void {
    const { bus } = this.#host;
    this.#link = bus.addTransport((envelope) => this.#broadcast(envelope));
    this.#attachments.push(bus.join(this.#actor));
    // The mesh does not tell this node of itself; the page shows it as it shows the others.
    this.#broadcast(this.envelope({ NodeMessage: this.#host.self() }));
    this.#actor.send({ UpdateIoMessage: {} });
    this.#scheduleSweep();
  }

  stop(): void {
    this.#sweepTimer?.cancel();
    for (const attachment of this.#attachments.splice(0)) attachment.detach();
    this.#link?.close();
    this.#listeners.clear();
  }

  subscribe(listener: BridgeListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Brings a browser program's message to everybody else. False: its payload is not what its subject says. */
  send(envelope: Envelope, from: BridgeListener): boolean {
    if (!this.#link?.inject(envelope)) return false;
    this.#broadcast(envelope, from);
    return true;
  }

  /** A browser program of this user sends under `id` from now on, until what this returns is called. */
  registerSender(id: string, user: string): () => void {
    this.#link?.nameSender(id, senderName(user));
    return () => {
      // What it sent last may still be under way, and is to be written down under the name.
      this.#host.clock.after(SENDER_NAME_KEPT_MS, () => this.#link?.nameSender(id, undefined));
    };
  }

  /** A command of a user of the HTTP API and its one answer. Rejects with the DcsError it was refused with, or TIMEOUT. */
  request(user: string, payload: Payload, timeoutMs: number): Promise<Envelope> {
    return this.#actorFor(user).request(payload, { timeoutMs });
  }

  #actorFor(user: string): Actor {
    const known = this.#users.get(user);
    if (known) return known;
    const made = new Actor(senderName(user));
    this.#users.set(user, made);
    this.#attachments.push(this.#host.bus.join(made));
    return made;
  }

  /** Asks a pin nobody has heard of to report; resolves once it has, or when the time is over. */
  async queryPin(pin: string, timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#host.clock.after(timeoutMs, () => settle());
      const forget = this.subscribe(() => {
        if (this.state.pin(pin)) settle();
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

  #scheduleSweep(): void {
    this.#sweepTimer = this.#host.clock.after(SWEEP_MS, () => {
      for (const { node, name, boot } of this.state.expireSilent(this.#host.self().node)) {
        this.#broadcast(this.envelope({ NodeMessage: { event: 'leave', node, name, boot, pins: [] } }));
      }
      this.#scheduleSweep();
    });
  }

  #broadcast(envelope: Envelope, from?: BridgeListener): void {
    const { lostReports: lost, pinsToQuery: ask } = this.state.record(envelope);
    let encoded: string | undefined;
    const text = () => {
      encoded ??= encodeEnvelope(envelope);
      return encoded;
    };
    for (const listener of this.#listeners) if (listener !== from) listener(envelope, text);
    for (const report of lost) this.#broadcast(this.envelope({ IoMessage: report }));
    for (const pin of ask) this.#actor.send({ UpdateIoMessage: { pin_name: pin } });
  }
}

/** Not the user's name alone: an actor of the configuration may be called the same. */
function senderName(user: string): string {
  return `web/${user}`;
}
