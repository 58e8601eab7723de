import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';
import { messageOf } from '../errors/errors.ts';
import { type NotifySocket, openNotifySocket } from './notify-socket.ts';

const STATUS_MS: DurationMs = 5000;
/** The watchdog is fed three times in its period: one delay is no death. */
const FEEDS = 3;

/** What the manager is told of the agent. */
export interface Vitals {
  /** One line for `systemctl status`. */
  status(): string;
  /** Why the agent is not to be trusted any more; undefined while all is alive. */
  ailment(): string | undefined;
}

/** What systemd wants of this process, from its environment. */
export interface ManagerEnv {
  readonly socket: string;
  readonly watchdogMs: DurationMs | undefined;
}

/** Undefined: nobody wants to be told. The watchdog of another process is not ours. */
export function managerEnv(env: NodeJS.ProcessEnv, pid: number): ManagerEnv | undefined {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: owner } = env;
  if (!socket) return undefined;
  const ours = usec !== undefined && Number(usec) > 0 && (owner === undefined || Number(owner) === pid);
  return { socket, watchdogMs: ours ? Number(usec) / 1000 : undefined };
}

/** Tells the service manager (systemd) when the agent is ready, how it fares, and, for its watchdog, that it is alive. */
export class ServiceManager {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #vitals: Vitals;
  readonly #watchdogMs: DurationMs | undefined;
  readonly #socket: NotifySocket;
  #timers: Timer[] = [];
  #told = '';
  #trouble = '';
  #ailing = false;

  constructor(
    socket: NotifySocket,
    vitals: Vitals,
    life: { clock: Clock; log: Log; watchdogMs: DurationMs | undefined },
  ) {
    this.#socket = socket;
    this.#vitals = vitals;
    this.#clock = life.clock;
    this.#log = life.log;
    this.#watchdogMs = life.watchdogMs;
  }

  /** Undefined when there is no service manager, or none that can be told, which is logged. Never rejects. */
  static async find(vitals: Vitals, clock: Clock, log: Log): Promise<ServiceManager | undefined> {
    const env = managerEnv(process.env, process.pid);
    if (!env) return undefined;
    // Programs started by this one must not speak for it.
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete process.env[name];
    try {
      const socket = await openNotifySocket(env.socket);
      return new ServiceManager(socket, vitals, { clock, log, watchdogMs: env.watchdogMs });
    } catch (error) {
      log.error({ err: error }, messageOf(error));
      return undefined;
    }
  }

  /** The agent runs. From now on its status is told and the watchdog fed. */
  ready(): void {
    this.#told = this.#vitals.status();
    this.#send(`READY=1\nSTATUS=${this.#told}`);
    this.#every(STATUS_MS, () => this.#tellStatus());
    if (this.#watchdogMs === undefined) return;
    this.#feed();
    this.#every(this.#watchdogMs / FEEDS, () => this.#feed());
  }

  /** The agent begins to stop, in good order. */
  stopping(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = [];
    // Stopping is bounded and takes less than any watchdog: one more feed lets it end.
    this.#send(`STOPPING=1\nSTATUS=stopping${this.#watchdogMs === undefined ? '' : '\nWATCHDOG=1'}`);
  }

  close(): void {
    this.#socket.close();
  }

  #feed(): void {
    const ailment = this.#vitals.ailment();
    if (ailment === undefined) {
      this.#ailing = false;
      this.#send('WATCHDOG=1');
      return;
    }
    if (!this.#ailing) this.#log.error({}, `the watchdog is not fed any more: ${ailment}`);
    this.#ailing = true;
    this.#tellStatus();
  }

  #tellStatus(): void {
    const status = this.#vitals.ailment() ?? this.#vitals.status();
    if (status === this.#told) return;
    this.#told = status;
    this.#send(`STATUS=${status}`);
  }

  #every(period: DurationMs, work: () => void): void {
    const at = this.#timers.length;
    const again = () => {
      this.#timers[at] = this.#clock.after(period, () => {
        again();
        work();
      });
    };
    again();
  }

  #send(text: string): void {
    try {
      this.#socket.send(text);
      this.#trouble = '';
    } catch (error) {
      const message = messageOf(error);
      if (message !== this.#trouble) this.#log.error({ err: error }, `the service manager is not told: ${message}`);
      this.#trouble = message;
    }
  }
}
