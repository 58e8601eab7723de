import type { Dealer } from 'zeromq';
import type { Clock, Timer } from '../clock/clock.ts';
import { messageOf } from '../errors/errors.ts';
import { isRecord } from '../message/envelope.ts';
import { parseFrame } from './door.ts';
import { tcp } from './endpoint.ts';
import type { Session } from './session.ts';
import type { Wire } from './wire.ts';
import { isReadable, type Kit } from './zmq.ts';

/** How long one address gets before the next is tried (ms). */
const PATIENCE_MS = 800;
/** How often hello is repeated until it is answered (ms). */
const HELLO_MS = 1000;
/** How long a node that has taken the connection may take to answer (ms). */
const ANSWER_MS = 3000;

/** A place to call. */
export interface Place {
  readonly host: string;
  readonly port: number;
  /** Public key that must be there, when the mesh is encrypted. */
  readonly key?: string;
}

export interface CallerHooks {
  /** What we say first. */
  hello(): object;
  /** A frame that is not part of a session yet: an answer to hello. */
  answered(frame: Record<string, unknown>, caller: Caller): void;
  closed?(): void;
}

/** Calls another node at its door: at one address after the other, until it answers. One connection, one life. */
export class Caller implements Wire {
  readonly dialled = true;
  /** The session this call has become. */
  session: Session | undefined;
  readonly #kit: Kit;
  readonly #clock: Clock;
  readonly #hooks: CallerHooks;
  readonly #places: () => readonly Place[];
  #place: Place | undefined;
  #dealer: Dealer | undefined;
  #token: string | undefined;
  #attempt = 0;
  #greeted: Dealer | undefined;
  #patience: Timer | undefined;
  #hello: Timer | undefined;
  #closed = false;

  /** `places` is asked before every attempt: addresses may change. */
  constructor(kit: Kit, clock: Clock, places: () => readonly Place[], hooks: CallerHooks) {
    this.#kit = kit;
    this.#clock = clock;
    this.#places = places;
    this.#hooks = hooks;
    this.#call();
  }

  get key(): string | undefined {
    return this.#place?.key;
  }

  /** Where the connection goes. */
  get host(): string | undefined {
    return this.#place?.host;
  }

  /** Every frame is an object, so what the door wants to see can be put in front. */
  send(text: string): Promise<void> {
    const marked = this.#token === undefined ? text : `{"k":${JSON.stringify(this.#token)},${text.slice(1)}`;
    return this.#dealer?.send(marked) ?? Promise.resolve();
  }

  /** What the door wants to see in every frame from now on. */
  carry(token: unknown): void {
    if (typeof token === 'string') this.#token = token;
  }

  /** Answers the door before there is a session. */
  reply(data: object): void {
    this.#dealer?.send(JSON.stringify(data)).catch(() => this.#kit.stats.sendDrops++);
  }

  /** The call has become a session: no more attempts. */
  established(session: Session): void {
    this.session = session;
    this.#patience?.cancel();
    this.#hello?.cancel();
  }

  close(linger: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#hooks.closed?.();
    this.#patience?.cancel();
    this.#hello?.cancel();
    this.#hangUp(linger ? 1000 : 0);
  }

  #call(): void {
    if (this.#closed) return;
    this.#hangUp(0);
    const places = this.#places();
    this.#place = places[this.#attempt++ % Math.max(1, places.length)];
    this.#patience = this.#clock.after(PATIENCE_MS, () => this.#call());
    if (!this.#place) return;
    const dealer = this.#kit.dealer(this.#place.key);
    this.#dealer = dealer;
    const next = () => {
      if (dealer !== this.#dealer || this.session) return;
      this.#patience?.cancel();
      this.#patience = this.#clock.after(50, () => this.#call());
    };
    dealer.events.on('handshake', () => this.#greet(dealer));
    dealer.events.on('handshake:error:protocol', next);
    dealer.events.on('handshake:error:auth', next);
    dealer.events.on('disconnect', () => {
      if (dealer !== this.#dealer) return;
      if (this.session) this.session.cut();
      else next();
    });
    void this.#listen(dealer);
    try {
      dealer.connect(tcp(this.#place.host, this.#place.port));
    } catch (error) {
      this.#kit.stats.socketErrors++;
      this.#kit.log.debug({ place: this.#place }, `cannot call: ${messageOf(error)}`);
    }
  }

  #greet(dealer: Dealer): void {
    if (this.#closed || dealer !== this.#dealer || this.session) return;
    dealer.send(JSON.stringify(this.#hooks.hello())).catch(() => this.#kit.stats.sendDrops++);
    this.#hello?.cancel();
    if (this.#greeted !== dealer) {
      this.#greeted = dealer;
      this.#patience?.cancel();
      this.#patience = this.#clock.after(ANSWER_MS, () => this.#call());
    }
    this.#hello = this.#clock.after(HELLO_MS, () => this.#greet(dealer));
  }

  async #listen(dealer: Dealer): Promise<void> {
    try {
      for await (const [frame] of dealer) {
        if (frame && !isReadable(frame, this.#kit.stats)) continue;
        const found = frame === undefined ? undefined : parseFrame(frame);
        if (!isRecord(found)) this.#kit.stats.malformed++;
        else if (this.session) this.session.receive(found);
        else this.#hooks.answered(found, this);
      }
    } catch (error) {
      if (dealer !== this.#dealer) return;
      this.#kit.stats.socketErrors++;
      this.#kit.log.debug({ err: error }, `a call broke: ${messageOf(error)}`);
    }
  }

  #hangUp(linger: number): void {
    const dealer = this.#dealer;
    this.#dealer = undefined;
    this.#hello?.cancel();
    if (!dealer) return;
    dealer.linger = linger;
    dealer.close();
  }
}
