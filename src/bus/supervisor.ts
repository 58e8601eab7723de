import { type Clock, type DurationMs, type Timer, withDeadline } from '../clock/clock.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import type { Actor } from './actor.ts';
import type { Attachment, Bus, Progress } from './bus.ts';

/** The log calls of a supervisor. */
export interface SupervisorLog {
  info(detail: object, message: string): void;
  warn(detail: object, message: string): void;
  error(detail: object, message: string): void;
}

/** When and how often a supervisor restarts an actor that fails. */
export interface RestartPolicy {
  /** Number of handler errors within `windowMs` after which an actor is restarted. */
  readonly errors: number;
  readonly windowMs: DurationMs;
  /** Delay before the first restart. Doubles up to `maxBackoffMs`; starts over after `windowMs` without an error. */
  readonly backoffMs: DurationMs;
  readonly maxBackoffMs: DurationMs;
  /** Number of restarts within `restartWindowMs` after which the actor is abandoned. */
  readonly restarts: number;
  readonly restartWindowMs: DurationMs;
  /** Longest time of a start or stop hook. */
  readonly hookMs: DurationMs;
}

export const defaultPolicy: RestartPolicy = {
  errors: 5,
  windowMs: 10_000,
  backoffMs: 100,
  maxBackoffMs: 30_000,
  restarts: 10,
  restartWindowMs: 300_000,
  hookMs: 1000,
};

/** State of a supervised actor. */
export type SupervisedState = 'starting' | 'running' | 'waiting' | 'failed' | 'stopped';

/** Callbacks of a supervisor. None may throw. */
export interface SupervisorEvents {
  /** An actor was attached to the bus or detached. */
  presence?(actor: Actor, present: boolean): void;
  /** An actor was restarted too often and is abandoned. */
  failed?(child: Supervised): void;
}

/** One supervised actor. Its name stays; each restart makes a new object. */
export class Supervised {
  readonly name: string;
  state: SupervisedState = 'starting';
  /** Number of errors of its handlers and hooks since the start. */
  errors = 0;
  /** Number of restarts since the start. */
  restarts = 0;
  /** Message of the last error. */
  lastError: string | undefined;
  readonly #make: () => Actor;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #log: SupervisorLog;
  readonly #policy: RestartPolicy;
  readonly #events: SupervisorEvents;
  #actor: Actor | undefined;
  #attachment: Attachment | undefined;
  #recent: number[] = [];
  #restarted: number[] = [];
  #backoff: DurationMs;
  #timer: Timer | undefined;

  constructor(
    name: string,
    make: () => Actor,
    environment: { readonly bus: Bus; readonly log: SupervisorLog; readonly policy: RestartPolicy },
    events: SupervisorEvents,
  ) {
    const { bus, log, policy } = environment;
    this.name = name;
    this.#make = make;
    this.#bus = bus;
    this.#clock = bus.clock;
    this.#log = log;
    this.#policy = policy;
    this.#events = events;
    this.#backoff = policy.backoffMs;
  }

  /** Progress of the actor. */
  get progress(): Progress {
    return this.#attachment?.progress ?? { turns: 0, waiting: false };
  }

  /** Makes and starts the actor. Never rejects: an actor that cannot start is retried up to the limit. */
  async start(): Promise<void> {
    if (this.state === 'stopped' || this.state === 'failed') return;
    this.state = 'starting';
    let actor: Actor | undefined;
    try {
      actor = this.#make();
      const current = actor;
      this.#actor = current;
      this.#attachment = this.#bus.attach(current, (error) => this.#failed(current, error));
      this.#events.presence?.(current, true);
      await this.#withTimeout(Promise.resolve(current.onStart()), 'start');
      if (this.#actor !== current) return;
      this.#attachment.open();
      this.state = 'running';
    } catch (error) {
      this.#recordError(error, 'could not start');
      await this.#restart(actor);
    }
  }

  /** Stops the actor for good. Idempotent and bounded in time; never rejects. */
  async stop(): Promise<void> {
    this.state = 'stopped';
    this.#timer?.cancel();
    await this.#stopActor();
  }

  #failed(actor: Actor, error: unknown): void {
    this.#recordError(error, 'a handler failed');
    if (actor !== this.#actor || this.state !== 'running') return;
    const now = this.#clock.now();
    if (now - (this.#recent.at(-1) ?? now) > this.#policy.windowMs) this.#backoff = this.#policy.backoffMs;
    this.#recent = this.#recent.filter((at) => now - at < this.#policy.windowMs);
    this.#recent.push(now);
    if (this.#recent.length < this.#policy.errors) return;
    this.#recent = [];
    this.#restart(actor).catch((reason: unknown) => this.#recordError(reason, 'could not restart'));
  }

  async #restart(actor: Actor | undefined): Promise<void> {
    if (this.state === 'stopped' || this.state === 'waiting' || (actor && actor !== this.#actor)) return;
    this.state = 'waiting';
    const wait = this.#backoff;
    this.#backoff = Math.min(this.#backoff * 2, this.#policy.maxBackoffMs);
    await this.#stopActor();
    if (this.#stopped()) return;
    if (this.#exceedsRestartLimit()) {
      this.state = 'failed';
      this.#log.error({ actor: this.name, restarts: this.restarts }, `${this.name} keeps failing and is given up`);
      this.#events.failed?.(this);
      return;
    }
    this.#log.warn({ actor: this.name, waitMs: wait }, 'actor is restarted');
    this.#timer = this.#clock.after(wait, () => {
      this.restarts++;
      void this.start();
    });
  }

  async #stopActor(): Promise<void> {
    const actor = this.#actor;
    const attachment = this.#attachment;
    this.#actor = undefined;
    this.#attachment = undefined;
    if (!actor || !attachment) return;
    try {
      await this.#withTimeout(attachment.quiesce(), 'finish its last handler');
    } catch (error) {
      this.#recordError(error, 'left behind a handler that still runs');
    }
    try {
      await this.#withTimeout(Promise.resolve(actor.onStop()), 'stop');
    } catch (error) {
      this.#recordError(error, 'could not stop cleanly');
    }
    attachment.detach();
    this.#events.presence?.(actor, false);
  }

  #exceedsRestartLimit(): boolean {
    const { restarts, restartWindowMs } = this.#policy;
    const now = this.#clock.now();
    this.#restarted = [...this.#restarted.filter((at) => now - at < restartWindowMs), now];
    return this.#restarted.length > restarts;
  }

  /** A method, so that the compiler does not assume the state of before an await. */
  #stopped(): boolean {
    return this.state === 'stopped';
  }

  #withTimeout(work: Promise<void>, what: string): Promise<void> {
    const limit = this.#policy.hookMs;
    return withDeadline(
      this.#clock,
      limit,
      work,
      () => new DcsError('TIMEOUT', `${this.name} did not ${what} within ${limit} ms`),
    );
  }

  #recordError(error: unknown, what: string): void {
    this.errors++;
    this.lastError = messageOf(error);
    this.#log.error({ actor: this.name, err: error }, `${this.name}: ${what}: ${this.lastError}`);
  }
}

/** Starts actors in order and keeps them running. Stops them together, so that a hung one delays no other. */
export class Supervisor {
  readonly children: Supervised[] = [];
  readonly #bus: Bus;
  readonly #log: SupervisorLog;
  readonly #policy: RestartPolicy;
  readonly #events: SupervisorEvents;

  constructor(bus: Bus, log: SupervisorLog, policy: RestartPolicy = defaultPolicy, events: SupervisorEvents = {}) {
    this.#bus = bus;
    this.#log = log;
    this.#policy = policy;
    this.#events = events;
  }

  /** Resolves when the actor's start hook is done, or has failed and will be retried. */
  async add(name: string, make: () => Actor): Promise<Supervised> {
    const child = new Supervised(name, make, { bus: this.#bus, log: this.#log, policy: this.#policy }, this.#events);
    this.children.push(child);
    await child.start();
    return child;
  }

  async stop(): Promise<void> {
    await Promise.all(this.children.map((child) => child.stop()));
  }
}
