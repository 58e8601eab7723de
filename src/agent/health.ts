import type { Supervised, Supervisor } from '../bus/supervisor.ts';
import type { Clock, DurationMs, MonotonicMs } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';
import type { PortRunner } from '../io/port-runner.ts';
import { LoopWatch } from './loop-watch.ts';
import { ServiceManager, type Vitals } from './service-manager.ts';

/**
 * An actor that has been at one message for so long, while others wait for it, hangs. Its supervisor cannot see that: nothing
 * was thrown. The slowest honest handler waits for a request (5 s) or a device (some seconds).
 */
const HANG_MS: DurationMs = 60_000;

/** What is looked at. */
export interface Organs {
  readonly supervisors: readonly Supervisor[];
  readonly ports: ReadonlyMap<string, PortRunner>;
  readonly pins: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** How the agent as a whole fares: its event loop, its actors, and who is told. */
export class Health implements Vitals {
  readonly loop: LoopWatch;
  readonly #organs: Organs;
  /** Since when an actor has been at the same piece of work. */
  readonly #busy = new Map<Supervised, { readonly turns: number; readonly since: MonotonicMs }>();
  #manager: ServiceManager | undefined;

  constructor(organs: Organs) {
    this.#organs = organs;
    this.loop = new LoopWatch(organs.clock, organs.log);
  }

  async start(): Promise<void> {
    this.loop.start();
    this.#manager = await ServiceManager.find(this, this.#organs.clock, this.#organs.log);
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
    const { ports, pins, supervisors } = this.#organs;
    const down = [...ports.values()].filter(({ state }) => state !== 'open' && state !== 'skipped');
    const failed = supervisors.flatMap(({ children }) => children.filter(({ state }) => state === 'failed'));
    return [
      `${pins} pins, ${ports.size} ports`,
      ...(down.length > 0 ? [`down: ${down.map(({ name }) => name).join(', ')}`] : []),
      ...(failed.length > 0 ? [`given up: ${failed.map(({ name }) => name).join(', ')}`] : []),
    ].join('; ');
  }

  /** One that its supervisor restarts or has given up is in hand, and shown; one that hangs is not. */
  ailment(): string | undefined {
    const now = this.#organs.clock.now();
    for (const { children } of this.#organs.supervisors) {
      for (const child of children) {
        const { turns, waiting } = child.progress;
        const before = this.#busy.get(child);
        if (!waiting) this.#busy.delete(child);
        else if (before?.turns !== turns) this.#busy.set(child, { turns, since: now });
        else if (now - before.since > HANG_MS) {
          return `${child.name} has been at one message for ${Math.round((now - before.since) / 1000)} s`;
        }
      }
    }
    return undefined;
  }
}
