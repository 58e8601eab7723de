import { closeSync } from 'node:fs';
import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import { loadLibc, unixAddress } from '../linux/libc.ts';
import type { Log } from '../log/log.ts';

/** Sends datagrams to the service manager. */
export interface NotifySocket {
  /** Throws when the kernel does not take the datagram. */
  send(text: string): void;
  close(): void;
}

/**
 * Opens the socket of sd_notify(3). `path` is the value of NOTIFY_SOCKET, with @ for the abstract namespace. Rejects with
 * NOT_SUPPORTED where koffi does not load, because Node.js has no datagrams on Unix sockets, and with BAD_VALUE for a wrong path.
 */
export async function openNotifySocket(path: string): Promise<NotifySocket> {
  if (!path.startsWith('@') && !path.startsWith('/')) {
    throw new DcsError('BAD_VALUE', 'NOTIFY_SOCKET names no Unix socket', { found: path });
  }
  const address = unixAddress(path);
  const libc = await loadLibc('sd_notify', 'a unit with Type=exec, as dcs-io service install writes here');
  const fd = libc.unixSocket();
  return { send: (text) => libc.sendTo(fd, Buffer.from(text), address), close: () => closeSync(fd) };
}

const STATUS_MS: DurationMs = 5000;
/** Keep-alives in one period of the watchdog: one delay alone does not end the process. */
const KEEP_ALIVES_PER_PERIOD = 3;

/** The state of the agent, for the service manager. */
export interface HealthReport {
  /** One line for `systemctl status`. */
  status(): string;
  /** Why the agent cannot be trusted any more; `undefined` while all is well. */
  fault(): string | undefined;
}

/** The wishes of systemd for this process, from its environment. */
export interface ManagerEnv {
  readonly socket: string;
  readonly watchdogMs: DurationMs | undefined;
}

/** `undefined` when no service manager listens. Ignores a watchdog that is meant for another process. */
export function managerEnv(env: NodeJS.ProcessEnv, pid: number): ManagerEnv | undefined {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: owner } = env;
  if (!socket) return undefined;
  const ours = usec !== undefined && Number(usec) > 0 && (owner === undefined || Number(owner) === pid);
  return { socket, watchdogMs: ours ? Number(usec) / 1000 : undefined };
}

/** Notifies the service manager (systemd) of start, status and stop, and keeps its watchdog alive while the agent is well. */
export class ServiceManager {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #health: HealthReport;
  readonly #watchdogMs: DurationMs | undefined;
  readonly #socket: NotifySocket;
  #timers: Timer[] = [];
  #lastStatus = '';
  #lastError = '';
  #faulty = false;

  constructor(
    socket: NotifySocket,
    health: HealthReport,
    environment: { clock: Clock; log: Log; watchdogMs: DurationMs | undefined },
  ) {
    this.#socket = socket;
    this.#health = health;
    this.#clock = environment.clock;
    this.#log = environment.log;
    this.#watchdogMs = environment.watchdogMs;
  }

  /** `undefined` when there is no service manager, or when its socket cannot be opened, which is logged. Never rejects. */
  static async find(health: HealthReport, clock: Clock, log: Log): Promise<ServiceManager | undefined> {
    const env = managerEnv(process.env, process.pid);
    if (!env) return undefined;
    // A child process must not speak for this one.
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete process.env[name];
    try {
      const socket = await openNotifySocket(env.socket);
      return new ServiceManager(socket, health, { clock, log, watchdogMs: env.watchdogMs });
    } catch (error) {
      log.error({ err: error }, `the service manager is not notified: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Notifies READY=1. From now on sends the status when it changes, and keep-alives. */
  ready(): void {
    this.#lastStatus = this.#health.status();
    this.#send(`READY=1\nSTATUS=${this.#lastStatus}`);
    this.#every(STATUS_MS, () => this.#sendStatus());
    if (this.#watchdogMs === undefined) return;
    this.#keepAlive();
    this.#every(this.#watchdogMs / KEEP_ALIVES_PER_PERIOD, () => this.#keepAlive());
  }

  /** Notifies STOPPING=1: the agent stops in good order. */
  stopping(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = [];
    // A stop takes less than any watchdog period, so one last keep-alive is enough for it.
    this.#send(`STOPPING=1\nSTATUS=stopping${this.#watchdogMs === undefined ? '' : '\nWATCHDOG=1'}`);
  }

  close(): void {
    this.#socket.close();
  }

  #keepAlive(): void {
    const fault = this.#health.fault();
    if (fault === undefined) {
      this.#faulty = false;
      this.#send('WATCHDOG=1');
      return;
    }
    if (!this.#faulty) this.#log.error({}, `no more keep-alives to the systemd watchdog: ${fault}`);
    this.#faulty = true;
    this.#sendStatus();
  }

  #sendStatus(): void {
    const status = this.#health.fault() ?? this.#health.status();
    if (status === this.#lastStatus) return;
    this.#lastStatus = status;
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
      this.#lastError = '';
    } catch (error) {
      const message = messageOf(error);
      if (message !== this.#lastError) {
        this.#log.error({ err: error }, `the service manager is not notified: ${message}`);
      }
      this.#lastError = message;
    }
  }
}
