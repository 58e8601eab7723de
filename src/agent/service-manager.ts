import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';

/** Sends datagrams to the service manager. */
export interface NotifySocket {
  /** Throws a DcsError when the datagram cannot be handed over. */
  send(text: string): void;
  close(): void;
}

const AF_UNIX = 1;
/** The same on x86, ARM and RISC-V; others have no koffi. */
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** sun_path of sockaddr_un. */
const PATH_BYTES = 108;

/**
 * The socket of sd_notify(3): `path` is what NOTIFY_SOCKET says, with @ for the abstract namespace. Node has no datagrams on
 * Unix sockets, so the C library is asked. Rejects with NOT_SUPPORTED where koffi does not load, BAD_VALUE for a wrong path.
 */
export async function openNotifySocket(path: string): Promise<NotifySocket> {
  const abstract = path.startsWith('@');
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : path);
  if ((!abstract && !path.startsWith('/')) || name.length >= PATH_BYTES) {
    throw new DcsError('BAD_VALUE', 'NOTIFY_SOCKET names no Unix socket', { found: path });
  }
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw new DcsError(
      'NOT_SUPPORTED',
      'the service manager cannot be told: the npm package koffi does not load here',
      { expected: 'a unit with Type=exec, as dcs-io service install writes here', cause },
    );
  });
  const library = koffi.load(null);
  const socket: (domain: number, type: number, protocol: number) => number = library.func(
    'int socket(int domain, int type, int protocol)',
  );
  const sendto: (
    fd: number,
    bytes: Uint8Array,
    count: number,
    flags: number,
    address: Uint8Array,
    size: number,
  ) => number = library.func(
    'long sendto(int fd, const void *bytes, unsigned long count, int flags, const void *address, unsigned int size)',
  );
  const failure = (call: string) => {
    const code = getSystemErrorName(-koffi.errno());
    return new DcsError('PORT_DOWN', `${call} to ${path}: ${code}`, { found: code });
  };
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw failure('socket');
  // An abstract name is as long as it is said to be; a path may end with its NUL.
  const address = Buffer.alloc(2 + name.length + (abstract ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return {
    send(text) {
      const bytes = Buffer.from(text);
      const sent = sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length);
      if (sent < 0) throw failure('sendto');
    },
    close: () => closeSync(fd),
  };
}

const STATUS_MS: DurationMs = 5000;
/** The watchdog is fed three times in its period: one delay is no death. */
const FEEDS_PER_PERIOD = 3;

/** What the manager is told of the agent. */
export interface HealthReport {
  /** One line for `systemctl status`. */
  status(): string;
  /** Why the agent is not to be trusted any more; undefined while all is alive. */
  fault(): string | undefined;
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
  readonly #health: HealthReport;
  readonly #watchdogMs: DurationMs | undefined;
  readonly #socket: NotifySocket;
  #timers: Timer[] = [];
  #lastStatus = '';
  #lastError = '';
  #faulty = false;

  constructor(
    socket: NotifySocket,
    vitals: HealthReport,
    life: { clock: Clock; log: Log; watchdogMs: DurationMs | undefined },
  ) {
    this.#socket = socket;
    this.#health = vitals;
    this.#clock = life.clock;
    this.#log = life.log;
    this.#watchdogMs = life.watchdogMs;
  }

  /** Undefined when there is no service manager, or none that can be told, which is logged. Never rejects. */
  static async find(vitals: HealthReport, clock: Clock, log: Log): Promise<ServiceManager | undefined> {
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
    this.#lastStatus = this.#health.status();
    this.#send(`READY=1\nSTATUS=${this.#lastStatus}`);
    this.#every(STATUS_MS, () => this.#sendStatus());
    if (this.#watchdogMs === undefined) return;
    this.#feed();
    this.#every(this.#watchdogMs / FEEDS_PER_PERIOD, () => this.#feed());
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
    const ailment = this.#health.fault();
    if (ailment === undefined) {
      this.#faulty = false;
      this.#send('WATCHDOG=1');
      return;
    }
    if (!this.#faulty) this.#log.error({}, `the watchdog is not fed any more: ${ailment}`);
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
      if (message !== this.#lastError) this.#log.error({ err: error }, `the service manager is not told: ${message}`);
      this.#lastError = message;
    }
  }
}
