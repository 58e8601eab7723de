import { type Clock, type DurationMs, systemClock } from '../clock/clock.ts';
import { DcsError, type ErrorCode, errorCodes } from '../errors/errors.ts';
import { type Envelope, frozenCopy, isRecord, type Payload } from '../message/envelope.ts';
import { ioMessageOf, isIoMessage } from '../message/payloads.ts';
import type { Actor, ActorHost, Interest, RequestOptions } from './actor.ts';
import { Dispatcher, Inbox, TimedWork } from './inbox.ts';

/** Counters of delivered and dropped messages. */
export interface BusStats {
  /** Messages sent by actors of this process. */
  published: number;
  /** Messages from outside: mesh, web, bridge. */
  injected: number;
  /** Messages put into inboxes; a message to three actors counts three times. */
  delivered: number;
  /** Messages dropped from a full inbox. */
  inboxDrops: number;
  /** Messages from outside whose payload does not fit their subject. */
  malformed: number;
  /** Errors that the handlers of actors threw. */
  handlerErrors: number;
}

/** The bus side of a transport: mesh, web, bridge. */
export interface BusTransport {
  /** Delivers a message from outside. Returns false when it was malformed: it was counted and dropped. */
  inject(envelope: Envelope): boolean;
  /** Interest of the local actors and of all other transports. */
  interest(): BusInterest;
  /** Sets the name of a sender whose messages come in here. `undefined` removes it. */
  nameSender(id: string, name: string | undefined): void;
  close(): void;
}

/** Messages that the actors of this process and the transports on its bus listen to. */
export interface BusInterest {
  /** Some actor hears every message. */
  readonly everything: boolean;
  readonly subjects: readonly string[];
  /** Names of the pins whose IoMessages some actor hears. */
  readonly pins: readonly string[];
}

/** Progress of an actor. It hangs when `turns` stays the same while `waiting` is true. */
export interface Progress {
  readonly turns: number;
  /** A task runs and others wait for its end. */
  readonly waiting: boolean;
}

/** An actor's place on the bus. */
export interface Attachment {
  /** Opens the inbox. It holds what has arrived since the actor was attached. */
  open(): void;
  /** Discards what waits in the inbox. Resolves when the running handler has ended. The actor may still send. */
  quiesce(): Promise<void>;
  /** Takes the actor off the bus. */
  detach(): void;
  readonly progress: Progress;
}

/**
 * The local bus: routes messages between the actors of this process by subject and by pin name. It parses nothing and
 * copies a message once, when it is sent. Transports connect it to other processes.
 */
export class Bus {
  readonly clock: Clock;
  readonly stats: BusStats = {
    published: 0,
    injected: 0,
    delivered: 0,
    inboxDrops: 0,
    malformed: 0,
    handlerErrors: 0,
  };
  readonly #dispatcher = new Dispatcher();
  readonly #inboxes = new Map<Actor, Inbox>();
  readonly #names = new Map<string, string>();
  readonly #bySubject = new Map<string, Set<Route>>();
  readonly #byPin = new Map<string, Set<Route>>();
  readonly #catchAll = new Set<Route>();
  readonly #transports = new Map<(envelope: Envelope) => void, () => void>();
  readonly #requests: PendingRequests;
  readonly #host: ActorHost;

  constructor(options: { clock?: Clock } = {}) {
    this.clock = options.clock ?? systemClock;
    this.#requests = new PendingRequests(this.clock);
    this.#host = {
      clock: this.clock,
      publish: (actor, payload) => this.#publish(actor, payload),
      request: (actor, payload, requestOptions) => this.#request(actor, payload, requestOptions),
      interested: (actor, interest) => this.#route(actor, interest),
      schedule: (actor, period, work) => this.#timedWork(actor)?.every(period, work),
      defer: (actor, delay, work) => this.#timedWork(actor)?.once(delay, work) ?? { cancel() {} },
    };
  }

  /**
   * Attaches an actor with its inbox closed: messages wait until `open`. The Supervisor does this for most actors.
   * `onFailure` gets what the handlers throw.
   */
  attach(actor: Actor, onFailure: (error: unknown) => void): Attachment {
    const inbox = new Inbox(actor, (error) => {
      this.stats.handlerErrors++;
      onFailure(error);
    });
    this.#inboxes.set(actor, inbox);
    this.#names.set(actor.id, actor.name);
    for (const interest of actor.interests) this.#route(actor, interest);
    actor.attach(this.#host);
    return {
      get progress() {
        return { turns: inbox.turns, waiting: inbox.busy && inbox.length > 0 };
      },
      open: () => {
        inbox.open = true;
        this.#dispatcher.wake(inbox);
      },
      quiesce: () => inbox.close(),
      detach: () => {
        void inbox.close();
        this.#inboxes.delete(actor);
        this.#names.delete(actor.id);
        for (const routes of [...this.#bySubject.values(), ...this.#byPin.values(), this.#catchAll]) {
          for (const route of routes) if (route.inbox === inbox) routes.delete(route);
        }
        this.#interestChanged();
      },
    };
  }

  /**
   * Adds a transport. `deliver` gets every message that did not come from the transport itself. `interestChanged` is called
   * when the interest of this process may have changed. Neither may throw.
   */
  addTransport(deliver: (envelope: Envelope) => void, interestChanged: () => void = () => undefined): BusTransport {
    this.#interestChanged();
    this.#transports.set(deliver, interestChanged);
    return {
      inject: (envelope) => this.#inject(envelope, deliver),
      interest: () => this.#interest(deliver),
      nameSender: (id, name) => {
        if (name === undefined) this.#names.delete(id);
        else this.#names.set(id, name);
      },
      close: () => {
        this.#transports.delete(deliver);
        this.#interestChanged();
      },
    };
  }

  /** Returns the name of an actor on this bus, or of a sender that a transport has named. */
  nameOf(id: string): string | undefined {
    return this.#names.get(id);
  }

  #interest(deliver: (envelope: Envelope) => void): BusInterest {
    const others = this.#transports.size - (this.#transports.has(deliver) ? 1 : 0);
    const listened = (routes: Map<string, Set<Route>>) =>
      [...routes].filter(([, set]) => set.size > 0).map(([key]) => key);
    return {
      everything: this.#catchAll.size > 0 || others > 0,
      subjects: listened(this.#bySubject),
      pins: listened(this.#byPin),
    };
  }

  #interestChanged(): void {
    for (const changed of this.#transports.values()) changed();
  }

  /** Attaches and opens an actor without supervision, for scripts and tests. */
  join(actor: Actor): Attachment {
    const attachment = this.attach(actor, (error) => {
      queueMicrotask(() => {
        throw error;
      });
    });
    attachment.open();
    return attachment;
  }

  #publish(actor: Actor, payload: Payload): Envelope {
    const envelope = this.#wrap(actor, payload);
    this.stats.published++;
    this.#deliver(envelope, undefined);
    return envelope;
  }

  #wrap(actor: Actor, payload: Payload): Envelope {
    const inbox = this.#inboxes.get(actor);
    if (!inbox) throw new DcsError('STOPPED', `${actor.name} is not on the bus any more`);
    if ('IoMessage' in payload && !isIoMessage(payload['IoMessage'])) {
      throw new DcsError('BAD_COMMAND', `${actor.name} sent an IoMessage without a pin_name`, {
        found: payload['IoMessage'],
        expected: '{pin_name: text, val: …}',
      });
    }
    const copy = frozenCopy(payload);
    if (!copy) throw new DcsError('BAD_COMMAND', `${actor.name} sent a message that is nested too deep`);
    return Object.freeze({
      sender: inbox.sender,
      timestamp: this.clock.unix(),
      msg_id: `${actor.id}.${inbox.nextSerial++}`,
      payload: copy,
    });
  }

  #inject(envelope: Envelope, from: (envelope: Envelope) => void): boolean {
    if ('IoMessage' in envelope.payload && !isIoMessage(envelope.payload['IoMessage'])) {
      this.stats.malformed++;
      return false;
    }
    this.stats.injected++;
    this.#deliver(envelope, from);
    return true;
  }

  #deliver(envelope: Envelope, from: ((envelope: Envelope) => void) | undefined): void {
    const creator = envelope.sender[0];
    const arrival = this.clock.now();
    for (const subject in envelope.payload) {
      const data = envelope.payload[subject];
      this.#requests.onMessage(subject, data, envelope);
      this.#toRoutes(this.#bySubject.get(subject), data, envelope, creator, arrival);
      if (subject !== 'IoMessage') continue;
      const pin = ioMessageOf(envelope.payload)?.pin_name;
      if (pin !== undefined) this.#toRoutes(this.#byPin.get(pin), data, envelope, creator, arrival);
    }
    this.#toRoutes(this.#catchAll, envelope, envelope, creator, arrival);
    for (const link of this.#transports.keys()) if (link !== from) link(envelope);
  }

  #toRoutes(
    routes: Set<Route> | undefined,
    data: unknown,
    envelope: Envelope,
    creator: string | undefined,
    arrival: number,
  ): void {
    if (!routes) return;
    for (const { inbox, interest } of routes) {
      if (inbox.actor.id === creator) continue;
      this.stats.delivered++;
      this.stats.inboxDrops += inbox.push({ kind: 'message', handler: interest.handler, data, envelope, arrival });
      this.#dispatcher.wake(inbox);
    }
  }

  #route(actor: Actor, interest: Interest): void {
    const inbox = this.#inboxes.get(actor);
    if (!inbox) return;
    const route: Route = { inbox, interest };
    if (interest.subject === undefined) this.#catchAll.add(route);
    else if (interest.pin !== undefined) routesFor(this.#byPin, interest.pin).add(route);
    else routesFor(this.#bySubject, interest.subject).add(route);
    this.#interestChanged();
  }

  async #request(actor: Actor, payload: Payload, { timeoutMs }: RequestOptions): Promise<Envelope> {
    const envelope = this.#wrap(actor, payload);
    return this.#requests.wait(envelope.msg_id, timeoutMs, () => {
      this.stats.published++;
      this.#deliver(envelope, undefined);
    });
  }

  #timedWork(actor: Actor): TimedWork | undefined {
    const inbox = this.#inboxes.get(actor);
    return inbox && new TimedWork(this.clock, inbox, this.#dispatcher);
  }

  /** Rejects all pending requests with STOPPED. */
  close(): void {
    this.#requests.close();
    this.#transports.clear();
  }
}

interface Route {
  readonly inbox: Inbox;
  readonly interest: Interest;
}

function routesFor(map: Map<string, Set<Route>>, key: string): Set<Route> {
  const found = map.get(key);
  if (found) return found;
  const made = new Set<Route>();
  map.set(key, made);
  return made;
}

interface PendingRequest {
  resolve(envelope: Envelope): void;
  reject(error: DcsError): void;
}

/** Requests that wait for an answer: the first message with their msg_id in `reply_to`. */
export class PendingRequests {
  readonly #clock: Clock;
  readonly #pending = new Map<string, PendingRequest>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves with the answer. Rejects with the error that it states, or with TIMEOUT. Calls `send` once it waits. */
  wait(id: string, timeoutMs: DurationMs, send: () => void): Promise<Envelope> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () => {
        this.#pending.delete(id);
        reject(new DcsError('TIMEOUT', `no answer to ${id} within ${timeoutMs} ms`));
      });
      const settle = <Outcome>(then: (outcome: Outcome) => void) => {
        return (outcome: Outcome): void => {
          this.#pending.delete(id);
          timer.cancel();
          then(outcome);
        };
      };
      this.#pending.set(id, { resolve: settle(resolve), reject: settle(reject) });
      send();
    });
  }

  /** Settles the request that a message answers. */
  onMessage(subject: string, data: unknown, envelope: Envelope): void {
    if (this.#pending.size === 0 || !isRecord(data)) return;
    const replyTo = data['reply_to'];
    if (typeof replyTo !== 'string') return;
    const waiting = this.#pending.get(replyTo);
    if (subject === 'IoErrorMessage') waiting?.reject(remoteError(data));
    else waiting?.resolve(envelope);
  }

  /** Rejects all pending requests with STOPPED. */
  close(): void {
    for (const { reject } of [...this.#pending.values()]) {
      reject(new DcsError('STOPPED', 'the bus was closed before the answer came'));
    }
  }
}

/** Returns the error that an IoErrorMessage, perhaps of another program, states. */
function remoteError(data: Record<string, unknown>): DcsError {
  const { code, message, rule } = data;
  return new DcsError(isErrorCode(code) ? code : 'DEVICE_REFUSED', typeof message === 'string' ? message : 'refused', {
    found: data,
    ...(typeof rule === 'string' && { rule }),
  });
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCodes, code);
}
