import type { Supervised, Supervisor } from '../bus/supervisor.ts';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { PortRunner } from '../io/port-runner.ts';
import type { Log } from '../log/log.ts';
import { type HealthReport, ServiceManager } from './service-manager.ts';

const TICK_MS: DurationMs = 100;
/** Late by so much, edges are still kept by the kernel, but answers and pulses are felt to be late. */
const COUNTED_DELAY_MS: DurationMs = 100;
/** Late by so much, something is wrong with an actor or the machine. */
const LOGGED_DELAY_MS: DurationMs = 500;
/** The worst delay is told of this time. */
const WINDOW_MS: DurationMs = 60_000;
/** A machine that is always late does not fill the log. */
const LOG_AGAIN_MS: DurationMs = 10_000;

export interface EventLoopStats {
  /** Longest delay of the last one to two minutes (ms). */
  readonly delay_max_ms: number;
  /** Delays of 100 ms and more since the start. */
  readonly delays: number;
}

/** Watches how late timers come: how long the event loop was kept by one piece of work, or the process by the machine. */
export class EventLoopMonitor {
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;
  #delays = 0;
  #maxDelay: DurationMs = 0;
  #maxDelayBefore: DurationMs = 0;
  #windowEnd: MonotonicMs = 0;
  #quietUntil: MonotonicMs = 0;
  #suppressed = 0;
  #lastLogged: DurationMs = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  start(): void {
    this.#windowEnd = this.#clock.now() + WINDOW_MS;
    this.#tick();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  get stats(): EventLoopStats {
    return { delay_max_ms: Math.round(Math.max(this.#maxDelay, this.#maxDelayBefore)), delays: this.#delays };
  }

  #tick(): void {
    const due = this.#clock.now() + TICK_MS;
    this.#timer = this.#clock.after(TICK_MS, () => {
      const now = this.#clock.now();
      this.#record(now - due, now);
      this.#tick();
    });
  }

  #record(late: DurationMs, now: MonotonicMs): void {
    if (now >= this.#windowEnd) {
      this.#maxDelayBefore = this.#maxDelay;
      this.#maxDelay = 0;
      this.#windowEnd = now + WINDOW_MS;
    }
    this.#maxDelay = Math.max(this.#maxDelay, late);
    if (late < COUNTED_DELAY_MS) return;
    this.#delays++;
    if (late < LOGGED_DELAY_MS) return;
    // One that is far worse than the last one told is told at once.
    if (now < this.#quietUntil && late < 2 * this.#lastLogged) {
      this.#suppressed++;
      return;
    }
    const detail = { delayMs: Math.round(late), ...(this.#suppressed > 0 && { untold: this.#suppressed }) };
    this.#log.warn(
      detail,
      `everything was held up for ${Math.round(late)} ms: an actor that computes, or a busy machine`,
    );
    this.#quietUntil = now + LOG_AGAIN_MS;
    this.#lastLogged = late;
    this.#suppressed = 0;
  }
}

/**
 * An actor that has been at one message for so long, while others wait for it, hangs. Its supervisor cannot see that: nothing
 * was thrown. The slowest honest handler waits for a request (5 s) or a device (some seconds).
 */
const HANG_MS: DurationMs = 60_000;

/** What is looked at. */
export interface HealthSources {
  readonly supervisors: readonly Supervisor[];
  readonly ports: ReadonlyMap<string, PortRunner>;
  readonly pins: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** How the agent as a whole fares: its event loop, its actors, and who is told. */
export class HealthMonitor implements HealthReport {
  readonly loop: EventLoopMonitor;
  readonly #sources: HealthSources;
  /** Since when an actor has been at the same piece of work. */
  readonly #working = new Map<Supervised, { readonly turns: number; readonly since: MonotonicMs }>();
  #manager: ServiceManager | undefined;

  constructor(organs: HealthSources) {
    this.#sources = organs;
    this.loop = new EventLoopMonitor(organs.clock, organs.log);
  }

  async start(): Promise<void> {
    this.loop.start();
    this.#manager = await ServiceManager.find(this, this.#sources.clock, this.#sources.log);
  }

  ready(): void {
    this.#manager?.ready();
  }

  stopping(): void {
    this.#manager?.stopping();
  }

  stop(): void {
    this.loop.stop();
    this.#manager?.close();
    this.#manager = undefined;
  }

  status(): string {
    const { ports, pins, supervisors } = this.#sources;
    const down = [...ports.values()].filter(({ state }) => state !== 'open' && state !== 'skipped');
    const failed = supervisors.flatMap(({ children }) => children.filter(({ state }) => state === 'failed'));
    return [
      `${pins} pins, ${ports.size} ports`,
      ...(down.length > 0 ? [`down: ${down.map(({ name }) => name).join(', ')}`] : []),
      ...(failed.length > 0 ? [`given up: ${failed.map(({ name }) => name).join(', ')}`] : []),
    ].join('; ');
  }

  /** One that its supervisor restarts or has given up is in hand, and shown; one that hangs is not. */
  fault(): string | undefined {
    const now = this.#sources.clock.now();
    for (const { children } of this.#sources.supervisors) {
      for (const child of children) {
        const { turns, waiting } = child.progress;
        const before = this.#working.get(child);
        if (!waiting) this.#working.delete(child);
        else if (before?.turns !== turns) this.#working.set(child, { turns, since: now });
        else if (now - before.since > HANG_MS) {
          return `${child.name} has been at one message for ${Math.round((now - before.since) / 1000)} s`;
        }
      }
    }
    return undefined;
  }
}
