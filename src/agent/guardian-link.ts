import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';
import type { LastWill } from '../driver/last-will.ts';
import { messageOf } from '../errors/errors.ts';
import { ANSWER_FD, decoder, encode, HEAR_FD, isFromGuardian, type ToGuardian } from '../guardian/messages.ts';

const FIRST_RESTART_MS: DurationMs = 50;
const LONGEST_RESTART_MS: DurationMs = 3000;
/** Most time between two beats; less when outputs are to be safe very soon. */
const BEAT_MS: DurationMs = 250;
const BYE_LIMIT_MS: DurationMs = 300;

export interface GuardianOptions {
  /** Outputs are safe this long after the agent's last sign of life, plus what the hardware takes. */
  readonly withinMs: DurationMs;
  /** Where the guardian listens for the next life of this agent. */
  readonly socket: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The agent's side of its guardian: starts it with the first last will, beats, and starts it anew when it dies or says
 * nothing any more. The guardian takes a silence for a hang and the closing of their pipe for a crash.
 */
export class GuardianLink {
  restarts = 0;
  readonly #options: GuardianOptions;
  readonly #wills = new Map<string, LastWill>();
  #child: ChildProcess | undefined;
  #ready = false;
  #stopped = false;
  #serial = 0;
  #heard: MonotonicMs = 0;
  #backoff = FIRST_RESTART_MS;
  #timer: Timer | undefined;

  constructor(options: GuardianOptions) {
    this.#options = options;
  }

  /** Process id of the guardian that is ready; undefined while there is none. */
  get pid(): number | undefined {
    return this.#ready ? this.#child?.pid : undefined;
  }

  /** What is to be done about a port's outputs when the agent cannot. Undefined: nothing (any more). */
  entrust(port: string, will: LastWill | undefined): void {
    if (this.#stopped || (will === undefined && !this.#wills.has(port))) return;
    if (will) this.#wills.set(port, will);
    else this.#wills.delete(port);
    if (this.#child) this.#send({ kind: 'will', port, will });
    else if (!this.#timer) this.#start();
  }

  /** The agent has ended in good order: the guardian ends too, and does nothing. Idempotent, bounded, never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    const child = this.#child;
    this.#child = undefined;
    if (!child) return;
    const over = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.ref();
      this.#options.clock.after(BYE_LIMIT_MS, resolve);
    });
    this.#post(child, { kind: 'bye' });
    await over;
  }

  #start(): void {
    const { withinMs, socket, log } = this.#options;
    const file = fileURLToPath(new URL(`../guardian/main${extname(import.meta.url)}`, import.meta.url));
    // A session of its own, so that Ctrl-C in the terminal does not reach it.
    const child = spawn(
      process.execPath,
      ['--max-semi-space-size=1', file, String(process.pid), String(withinMs), socket],
      { detached: true, stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'] },
    );
    this.#child = child;
    child.unref();
    child.once('error', (error) => this.#lost(child, messageOf(error)));
    child.once('exit', (code, signal) => this.#lost(child, `it ended (${signal ?? code})`));
    for (const fd of [HEAR_FD, ANSWER_FD]) {
      const pipe = pipeOf(child, fd);
      pipe?.unref();
      // Its end is told by its exit.
      pipe?.on('error', () => undefined);
    }
    pipeOf(child, ANSWER_FD)?.on(
      'data',
      decoder((found) => this.#told(child, found)),
    );
    this.#heard = this.#options.clock.now();
    for (const [port, will] of this.#wills) this.#send({ kind: 'will', port, will });
    log.info({ guardian: child.pid }, `the guardian makes outputs safe within ${withinMs} ms of a crash or hang`);
    this.#beatLater(child);
  }

  #beatLater(child: ChildProcess): void {
    const { clock, withinMs } = this.#options;
    this.#timer = clock.after(Math.min(BEAT_MS, withinMs / 10), () => {
      if (child !== this.#child) return;
      if (clock.now() - this.#heard > withinMs) {
        child.kill('SIGKILL');
        this.#lost(child, `it has said nothing for ${withinMs} ms`);
        return;
      }
      this.#send({ kind: 'beat', serial: this.#serial++ });
      this.#beatLater(child);
    });
  }

  #told(child: ChildProcess, found: unknown): void {
    if (child !== this.#child || !isFromGuardian(found)) return;
    this.#heard = this.#options.clock.now();
    if (found.kind === 'ready') {
      this.#ready = true;
      this.#backoff = FIRST_RESTART_MS;
    } else if (found.kind === 'refused') {
      const { port, reason } = found;
      this.#options.log.error({ port }, `after a crash the outputs of port ${port} would stay as they are: ${reason}`);
    }
  }

  #lost(child: ChildProcess, why: string): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    this.#ready = false;
    for (const fd of [HEAR_FD, ANSWER_FD]) pipeOf(child, fd)?.destroy();
    this.#again(why);
  }

  #again(why: string): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    const { clock, log } = this.#options;
    log.error({ waitMs: this.#backoff }, `the guardian is started anew: ${why}`);
    this.#timer = clock.after(this.#backoff, () => {
      this.#timer = undefined;
      this.restarts++;
      this.#start();
    });
    this.#backoff = Math.min(2 * this.#backoff, LONGEST_RESTART_MS);
  }

  #send(message: ToGuardian): void {
    if (this.#child) this.#post(this.#child, message);
  }

  #post(child: ChildProcess, message: ToGuardian): void {
    const pipe = pipeOf(child, HEAR_FD);
    if (pipe?.writable) pipe.write(encode(message));
  }
}

function pipeOf(child: ChildProcess, fd: number): Socket | undefined {
  const pipe = child.stdio[fd];
  return pipe instanceof Socket ? pipe : undefined;
}
