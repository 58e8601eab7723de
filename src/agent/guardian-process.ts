import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { CrashPlan } from '../driver/contract.ts';
import { messageOf } from '../errors/errors.ts';
import { type FdPassing, loadFdPassing } from '../guardian/fd-passing.ts';
import { ANSWER_FD, COMMAND_FD, decoder, encode, isFromGuardian, type ToGuardian } from '../guardian/messages.ts';
import type { Log } from '../log/log.ts';

/**
 * The socket that passes descriptors to the guardian. Where koffi does not load, which is logged, the guardian opens the hardware
 * itself after a crash of this process.
 */
export class DescriptorChannel {
  readonly #log: Log;
  #fdPassing: FdPassing | undefined;
  /** This process's end. */
  #end: number | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Binds the C library. Call it first. Never rejects. */
  async load(): Promise<void> {
    try {
      this.#fdPassing = await loadFdPassing();
    } catch (error) {
      this.#log.info({}, messageOf(error));
    }
  }

  /** Opens a new socket pair. Returns the guardian's end, which the caller closes. */
  open(): number | undefined {
    try {
      const ends = this.#fdPassing?.pair();
      this.#end = ends?.own;
      return ends?.other;
    } catch (error) {
      this.#log.warn({ err: error }, `hardware cannot be passed to the guardian: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Returns how many were sent: all or none. */
  send(port: string, descriptors: readonly number[]): number {
    if (!this.#fdPassing || this.#end === undefined || descriptors.length === 0) return 0;
    try {
      this.#fdPassing.send(this.#end, descriptors);
      return descriptors.length;
    } catch (error) {
      this.#log.warn({ port, err: error }, `port ${port} cannot be passed to the guardian: ${messageOf(error)}`);
      return 0;
    }
  }

  close(): void {
    if (this.#end !== undefined) closeSync(this.#end);
    this.#end = undefined;
  }
}

const FIRST_RESTART_MS: DurationMs = 50;
const LONGEST_RESTART_MS: DurationMs = 3000;
/** Longest time between two heartbeats; shorter when outputs must be safe very soon. */
const BEAT_MS: DurationMs = 250;
/** A guardian that is not ready after this is restarted. */
const START_LIMIT_MS: DurationMs = 30_000;
const STOP_LIMIT_MS: DurationMs = 300;

export interface GuardianOptions {
  /** Outputs are safe this long after the agent's last heartbeat, plus the time that the hardware takes. */
  readonly withinMs: DurationMs;
  /** Path of the socket at which the guardian listens for the next run of this agent. */
  readonly socket: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The agent's side of its guardian: starts it with the first crash plan, sends heartbeats, and restarts it when it ends or does
 * not answer. The guardian takes silence for a hang, and the end of their pipe for a crash.
 */
export class GuardianProcess {
  restarts = 0;
  readonly #options: GuardianOptions;
  /** By port. Functions, because descriptors change: called each time a guardian gets the plan. */
  readonly #plans = new Map<string, () => CrashPlan | undefined>();
  readonly #sentPlans = new Map<string, CrashPlan>();
  readonly #channel: DescriptorChannel;
  #child: ChildProcess | undefined;
  #ready = false;
  #stopped = false;
  #serial = 0;
  #started: MonotonicMs = 0;
  #lastAnswer: MonotonicMs = 0;
  #backoff = FIRST_RESTART_MS;
  #timer: Timer | undefined;
  /** Called when the guardian says that it stays and holds hardware. */
  #onHolding: (() => void) | undefined;

  constructor(options: GuardianOptions) {
    this.#options = options;
    this.#channel = new DescriptorChannel(options.log);
  }

  /** Process id of the guardian that is ready; `undefined` while there is none. */
  get pid(): number | undefined {
    return this.#ready ? this.#child?.pid : undefined;
  }

  /** Call it before the first plan. Never rejects. */
  async prepare(): Promise<void> {
    await this.#channel.load();
  }

  /**
   * Sets how another process makes the outputs of a port safe. The function is called again for each guardian; it returns
   * `undefined` when nothing is to be done.
   */
  setPlan(port: string, crashPlan: () => CrashPlan | undefined): void {
    if (this.#stopped) return;
    this.#plans.set(port, crashPlan);
    if (this.#child) this.#sendPlan(port, crashPlan());
    else if (!this.#timer && crashPlan()) this.#start();
  }

  /** Makes the guardian release the hardware of a port. It keeps the plan, without descriptors. */
  releaseDescriptors(port: string): void {
    const sent = this.#sentPlans.get(port);
    if (sent) this.setPlan(port, () => sent);
  }

  /**
   * Tells the guardian that the agent stops: it drives nothing, and ends too unless it holds passed hardware.
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
      this.#onHolding = resolve;
      child.ref();
      this.#options.clock.after(STOP_LIMIT_MS, resolve);
    });
    this.#post(child, { kind: 'stop' });
    await over;
    child.unref();
    this.#closePipes(child);
  }

  #start(): void {
    const { withinMs, log } = this.#options;
    let child: ChildProcess;
    try {
      child = this.#spawn();
    } catch (error) {
      // spawn throws when memory is short; when descriptors are short it emits `error`.
      this.#channel.close();
      this.#restartLater(messageOf(error));
      return;
    }
    this.#child = child;
    child.unref();
    child.once('error', (error) => this.#onLost(child, messageOf(error)));
    child.once('exit', (code, signal) => this.#onLost(child, `it ended (${signal ?? code})`));
    for (const fd of [COMMAND_FD, ANSWER_FD]) {
      const pipe = pipeOf(child, fd);
      pipe?.unref();
      // The end of the pipe shows in the exit of the process.
      pipe?.on('error', () => undefined);
    }
    pipeOf(child, ANSWER_FD)?.on(
      'data',
      decoder((found) => this.#onMessage(child, found)),
    );
    this.#lastAnswer = this.#started = this.#options.clock.now();
    for (const [port, crashPlan] of this.#plans) this.#sendPlan(port, crashPlan());
    log.info({ guardian: child.pid }, `the guardian makes outputs safe within ${withinMs} ms of a crash or hang`);
    this.#beatLater(child);
  }

  #spawn(): ChildProcess {
    const { withinMs, socket } = this.#options;
    const file = fileURLToPath(new URL(`../guardian/main${extname(import.meta.url)}`, import.meta.url));
    const end = this.#channel.open();
    try {
      // In a session of its own, so that Ctrl-C in the terminal does not reach it.
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
      // The start alone takes seconds on a small or busy machine.
      const limit = this.#ready ? withinMs : Math.max(withinMs, START_LIMIT_MS);
      if (clock.now() - this.#lastAnswer > limit) {
        child.kill('SIGKILL');
        this.#onLost(child, `no answer for ${limit} ms`);
        return;
      }
      this.#send({ kind: 'beat', serial: this.#serial++ });
      this.#beatLater(child);
    });
  }

  #onMessage(child: ChildProcess, found: unknown): void {
    if (!isFromGuardian(found)) return;
    if (found.kind === 'holding') {
      const { ports } = found;
      this.#options.log.info(
        { guardian: child.pid, ports },
        `process ${child.pid} holds outputs as they are, for the next start; dcs-io release ends that`,
      );
      this.#onHolding?.();
      return;
    }
    if (child !== this.#child) return;
    this.#lastAnswer = this.#options.clock.now();
    if (found.kind === 'ready') {
      this.#ready = true;
      const ms = Math.round(this.#lastAnswer - this.#started);
      this.#options.log.info({ guardian: child.pid }, `the guardian is ready, ${ms} ms after its start`);
      this.#backoff = FIRST_RESTART_MS;
    } else if (found.kind === 'refused') {
      const { port, reason } = found;
      this.#options.log.error({ port }, `after a crash the outputs of port ${port} would stay as they are: ${reason}`);
    }
  }

  #onLost(child: ChildProcess, why: string): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    this.#ready = false;
    this.#closePipes(child);
    this.#restartLater(why);
  }

  #closePipes(child: ChildProcess): void {
    for (const fd of [COMMAND_FD, ANSWER_FD]) pipeOf(child, fd)?.destroy();
    this.#channel.close();
  }

  #restartLater(why: string): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    const { clock, log } = this.#options;
    log.error({ waitMs: this.#backoff }, `restarting the guardian: ${why}`);
    this.#timer = clock.after(this.#backoff, () => {
      this.#timer = undefined;
      this.restarts++;
      this.#start();
    });
    this.#backoff = Math.min(2 * this.#backoff, LONGEST_RESTART_MS);
  }

  /** Sends the descriptors first: they have arrived when the guardian reads their number. */
  #sendPlan(port: string, crashPlan: CrashPlan | undefined): void {
    if (!crashPlan) {
      this.#sentPlans.delete(port);
      this.#send({ kind: 'plan', port, crashPlan, passed: 0 });
      return;
    }
    const { executor, plan, descriptors = [] } = crashPlan;
    this.#sentPlans.set(port, { executor, plan });
    const passed = this.#channel.send(port, descriptors);
    this.#send({ kind: 'plan', port, crashPlan: { executor, plan }, passed });
  }

  #send(message: ToGuardian): void {
    if (this.#child) this.#post(this.#child, message);
  }

  #post(child: ChildProcess, message: ToGuardian): void {
    const pipe = pipeOf(child, COMMAND_FD);
    if (pipe?.writable) pipe.write(encode(message));
  }
}

/** `undefined` when the process could not be started. */
function pipeOf(child: ChildProcess, fd: number): Socket | undefined {
  const pipe = child.stdio?.[fd];
  return pipe instanceof Socket ? pipe : undefined;
}
