import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';
import type { LastWill } from '../driver/last-will.ts';
import { messageOf } from '../errors/errors.ts';
import { ANSWER_FD, decoder, encode, HEAR_FD, isFromGuardian, type ToGuardian } from '../guardian/messages.ts';
import { Passage } from './passage.ts';

const FIRST_RESTART_MS: DurationMs = 50;
const LONGEST_RESTART_MS: DurationMs = 3000;
/** Most time between two beats; less when outputs are to be safe very soon. */
const BEAT_MS: DurationMs = 250;
/** A guardian that is not ready after this is started anew. */
const START_LIMIT_MS: DurationMs = 30_000;
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
  /** By port. Asked each time a guardian is told, for descriptors change. */
  readonly #wills = new Map<string, () => LastWill | undefined>();
  readonly #told = new Map<string, LastWill>();
  readonly #passage: Passage;
  #child: ChildProcess | undefined;
  #ready = false;
  #stopped = false;
  #serial = 0;
  #started: MonotonicMs = 0;
  #heard: MonotonicMs = 0;
  #backoff = FIRST_RESTART_MS;
  #timer: Timer | undefined;
  /** The guardian has said that it stays. */
  #kept: (() => void) | undefined;

  constructor(options: GuardianOptions) {
    this.#options = options;
    this.#passage = new Passage(options.log);
  }

  /** Process id of the guardian that is ready; undefined while there is none. */
  get pid(): number | undefined {
    return this.#ready ? this.#child?.pid : undefined;
  }

  /** Before the first last will. Never rejects. */
  async prepare(): Promise<void> {
    await this.#passage.load();
  }

  /**
   * What is to be done about a port's outputs when the agent cannot; asked again for each guardian. It returns undefined:
   * nothing (any more).
   */
  entrust(port: string, will: () => LastWill | undefined): void {
    if (this.#stopped) return;
    this.#wills.set(port, will);
    if (this.#child) this.#tell(port, will());
    else if (!this.#timer && will()) this.#start();
  }

  /** What is held of a port is to be given back: the guardian goes on with what it knows, and without descriptors. */
  letGo(port: string): void {
    const told = this.#told.get(port);
    if (told) this.entrust(port, () => told);
  }

  /**
   * The agent has ended in good order: the guardian drives nothing, and ends too unless it holds what it was passed.
   * Idempotent, bounded, never rejects.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    const child = this.#child;
    this.#child = undefined;
    if (!child) return;
    const over = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      this.#kept = resolve;
      child.ref();
      this.#options.clock.after(BYE_LIMIT_MS, resolve);
    });
    this.#post(child, { kind: 'bye' });
    await over;
    child.unref();
    this.#leave(child);
  }

  #start(): void {
    const { withinMs, log } = this.#options;
    let child: ChildProcess;
    try {
      child = this.#spawn();
    } catch (error) {
      // Node throws for want of memory, and only tells (`error`) for want of descriptors.
      this.#passage.close();
      this.#again(messageOf(error));
      return;
    }
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
      decoder((found) => this.#heardOf(child, found)),
    );
    this.#heard = this.#started = this.#options.clock.now();
    for (const [port, will] of this.#wills) this.#tell(port, will());
    log.info({ guardian: child.pid }, `the guardian makes outputs safe within ${withinMs} ms of a crash or hang`);
    this.#beatLater(child);
  }

  #spawn(): ChildProcess {
    const { withinMs, socket } = this.#options;
    const file = fileURLToPath(new URL(`../guardian/main${extname(import.meta.url)}`, import.meta.url));
    const end = this.#passage.open();
    try {
      // A session of its own, so that Ctrl-C in the terminal does not reach it.
      return spawn(process.execPath, ['--max-semi-space-size=1', file, String(process.pid), String(withinMs), socket], {
        detached: true,
        stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe', ...(end === undefined ? [] : [end])],
      });
    } finally {
      if (end !== undefined) closeSync(end);
    }
  }

  #beatLater(child: ChildProcess): void {
    const { clock, withinMs } = this.#options;
    this.#timer = clock.after(Math.min(BEAT_MS, withinMs / 10), () => {
      if (child !== this.#child) return;
      // One that is starting is not silent: on a small or busy machine that alone takes seconds.
      const limit = this.#ready ? withinMs : Math.max(withinMs, START_LIMIT_MS);
      if (clock.now() - this.#heard > limit) {
        child.kill('SIGKILL');
        this.#lost(child, `it has said nothing for ${limit} ms`);
        return;
      }
      this.#send({ kind: 'beat', serial: this.#serial++ });
      this.#beatLater(child);
    });
  }

  #heardOf(child: ChildProcess, found: unknown): void {
    if (!isFromGuardian(found)) return;
    if (found.kind === 'keeping') {
      const { ports } = found;
      this.#options.log.info(
        { guardian: child.pid, ports },
        `process ${child.pid} holds outputs as they are, for the next start; dcs-io release ends that`,
      );
      this.#kept?.();
      return;
    }
    if (child !== this.#child) return;
    this.#heard = this.#options.clock.now();
    if (found.kind === 'ready') {
      this.#ready = true;
      const ms = Math.round(this.#heard - this.#started);
      this.#options.log.info({ guardian: child.pid }, `the guardian is ready, ${ms} ms after its start`);
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
    this.#leave(child);
    this.#again(why);
  }

  #leave(child: ChildProcess): void {
    for (const fd of [HEAR_FD, ANSWER_FD]) pipeOf(child, fd)?.destroy();
    this.#passage.close();
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

  /** Descriptors first: they are there when the guardian reads how many. */
  #tell(port: string, will: LastWill | undefined): void {
    if (!will) {
      this.#told.delete(port);
      this.#send({ kind: 'will', port, will, passed: 0 });
      return;
    }
    const { executor, plan, descriptors = [] } = will;
    this.#told.set(port, { executor, plan });
    const passed = this.#passage.send(port, descriptors);
    this.#send({ kind: 'will', port, will: { executor, plan }, passed });
  }

  #send(message: ToGuardian): void {
    if (this.#child) this.#post(this.#child, message);
  }

  #post(child: ChildProcess, message: ToGuardian): void {
    const pipe = pipeOf(child, HEAR_FD);
    if (pipe?.writable) pipe.write(encode(message));
  }
}

/** Undefined: it could not be started, and has none. */
function pipeOf(child: ChildProcess, fd: number): Socket | undefined {
  const pipe = child.stdio?.[fd];
  return pipe instanceof Socket ? pipe : undefined;
}
