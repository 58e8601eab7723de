import type { Supervised, Supervisor } from '../bus/supervisor.ts';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { PortRunner } from '../io/port-runner.ts';
import type { Log } from '../log/log.ts';
import { type HealthReport, ServiceManager } from './service-manager.ts';

const TICK_MS: DurationMs = 100;
/** Delays from here on are counted: the kernel still keeps edges, but answers and pulses are noticeably late. */
const COUNTED_DELAY_MS: DurationMs = 100;
/** Delays from here on are logged: something is wrong with an actor or the machine. */
const LOGGED_DELAY_MS: DurationMs = 500;
/** The longest delay is reported over this time. */
const WINDOW_MS: DurationMs = 60_000;
/** Shortest time between two log lines, because a slow machine must not fill the log. */
const LOG_AGAIN_MS: DurationMs = 10_000;

export interface EventLoopStats {
  /** Longest delay of the last one to two minutes (ms). */
  readonly delay_max_ms: number;
  /** Delays of 100 ms and more since the start. */
  readonly delays: number;
}

/** Measures how late timers fire: how long one handler blocked the event loop, or the machine the process. */
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
    // A delay that is far longer than the last logged one is logged at once.
    if (now < this.#quietUntil && late < 2 * this.#lastLogged) {
      this.#suppressed++;
      return;
    }
    const detail = { delayMs: Math.round(late), ...(this.#suppressed > 0 && { suppressed: this.#suppressed }) };
    this.#log.warn(detail, `event loop blocked for ${Math.round(late)} ms: an actor that computes, or a busy machine`);
    this.#quietUntil = now + LOG_AGAIN_MS;
    this.#lastLogged = late;
    this.#suppressed = 0;
  }
}

/**
 * An actor hangs when it handles one message for this long while others wait. Its supervisor cannot see that, because nothing
 * is thrown. The slowest correct handler waits for a request (5 s) or a device (some seconds).
 */
const HANG_MS: DurationMs = 60_000;

/** The parts that the health monitor observes. */
export interface HealthSources {
  readonly supervisors: readonly Supervisor[];
  readonly ports: ReadonlyMap<string, PortRunner>;
  readonly pins: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** The health of the agent: its event loop and its actors, for the service manager. */
export class HealthMonitor implements HealthReport {
  readonly loop: EventLoopMonitor;
  readonly #sources: HealthSources;
  /** Since when each actor handles the same message. */
  readonly #working = new Map<Supervised, { readonly turns: number; readonly since: MonotonicMs }>();
  #manager: ServiceManager | undefined;

  constructor(sources: HealthSources) {
    this.#sources = sources;
    this.loop = new EventLoopMonitor(sources.clock, sources.log);
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

  /** A restarting or abandoned actor is already reported by its supervisor; a hung one is not, so look for it here. */
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
