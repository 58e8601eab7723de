import { Actor } from '../../bus/actor.ts';
import type { Attachment, BusTransport } from '../../bus/bus.ts';
import type { DurationMs, Timer } from '../../clock/clock.ts';
import { type Envelope, encodeEnvelope, newId, type Payload } from '../../message/envelope.ts';
import type { WebHost } from '../options.ts';
import type { BusState } from './bus-state.ts';

/** Time that the user of a closed WebSocket stays known: its last commands may still be under way. */
const SENDER_NAME_KEPT_MS: DurationMs = 60_000;
const SWEEP_MS: DurationMs = 2000;

/** Receives every message of the bus. `text` returns its encoding, shared by all listeners. Must not throw. */
export type BridgeListener = (envelope: Envelope, text: () => string) => void;

/**
 * Connects the web server to the bus. Each WebSocket client takes part like a process of the mesh, with an id of its own.
 * The commands of the HTTP API come from one actor for each user.
 */
export class BusBridge {
  readonly state: BusState;
  readonly #host: WebHost;
  readonly #actor = new Actor('web');
  /** Actors of the HTTP API by user name: the reports of outputs and the audit log name them. */
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
    // A node does not receive its own birth message from the mesh, but the page lists this node, too.
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

  /** Sends a message of a WebSocket client to all others. Returns `false` when the payload does not match its subject. */
  send(envelope: Envelope, from: BridgeListener): boolean {
    if (!this.#link?.inject(envelope)) return false;
    this.#broadcast(envelope, from);
    return true;
  }

  /** Registers `id` as a sender of this user. Returns the function that removes it. */
  registerSender(id: string, user: string): () => void {
    this.#link?.nameSender(id, senderName(user));
    return () => {
      // The last commands may still be under way, and the audit log names their user.
      this.#host.clock.after(SENDER_NAME_KEPT_MS, () => this.#link?.nameSender(id, undefined));
    };
  }

  /** Sends a command of a user. Resolves with its one answer; rejects with the DcsError of the refusal or TIMEOUT. */
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

  /** Asks an unknown pin to report. Resolves once it has, or after the timeout. */
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

  /** Creates an envelope with the web server as the sender. */
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

/** The prefix tells users from actors of the configuration, which may have the same name. */
function senderName(user: string): string {
  return `web/${user}`;
}
