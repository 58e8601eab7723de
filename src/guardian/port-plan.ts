import { closeSync } from 'node:fs';
import { type Clock, type DurationMs, sleep } from '../clock/clock.ts';
import type { CrashPlan, HeldDescriptors } from '../driver/contract.ts';
import type { ExecutorContext, Prepare, SafeStateExecutor } from '../driver/crash-plan.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';

/** An attempt that failed is made again after this, doubling up to the longest. */
const FIRST_RETRY_MS: DurationMs = 20;
const LONGEST_RETRY_MS: DurationMs = 1000;
/** A device that could not be reached for so long is left alone: what it does later is for whoever is there then. */
export const GIVE_UP_MS: DurationMs = 60_000;

/** Loads an executor's module. A test passes its own. */
export type LoadExecutor = (url: string) => Promise<Prepare>;

/** One port's last will, from being told to being carried out. */
export class PortPlan {
  readonly port: string;
  /** All outputs of the port are in their safe state. */
  safe = false;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #executor: Promise<SafeStateExecutor>;
  #stopped = false;
  #running: Promise<void> | undefined;
  #prepared: SafeStateExecutor | undefined;

  constructor(port: string, crashPlan: CrashPlan, load: LoadExecutor, context: ExecutorContext) {
    this.port = port;
    this.#clock = context.clock;
    this.#log = context.log;
    const descriptors = crashPlan.descriptors ?? [];
    this.#executor = load(crashPlan.executor).then((prepare) => prepare(crashPlan.plan, context, descriptors));
    this.#executor.then(
      (executor) => {
        this.#prepared = executor;
      },
      // Told by `ready`; whoever carries it out meets it again.
      () => {
        for (const fd of descriptors) closeSync(fd);
      },
    );
  }

  /** It holds hardware that is to be held. */
  get holds(): boolean {
    return this.#prepared?.holds === true;
  }

  /** Rejects when it cannot be carried out on this machine. */
  async ready(): Promise<void> {
    await this.#executor;
  }

  /** Drives the outputs until all are safe, patience ends or it is stopped. Never rejects. May be called again. */
  makeSafe(): Promise<void> {
    this.#stopped = false;
    this.#running ??= this.#makeSafe().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Drives nothing any more; what is under way is waited for. What is held stays held. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Lets go of all hardware; `pass` may first hand on what is held. */
  async release(pass?: (estate: HeldDescriptors) => Promise<void>): Promise<void> {
    await this.stop();
    // None: it could not be made, and what was given with it has been closed.
    const executor = await this.#executor.catch(() => undefined);
    const estate = pass && executor?.handOver?.();
    if (pass && estate && estate.descriptors.length > 0) {
      try {
        await pass(estate);
      } catch (error) {
        this.#logError(`what is held for port ${this.port} is let go, for it cannot be passed on: ${messageOf(error)}`);
      }
    }
    await executor?.release();
  }

  async #makeSafe(): Promise<void> {
    const begun = this.#clock.now();
    let wait = FIRST_RETRY_MS;
    let told = '';
    while (!this.#stopped) {
      try {
        const executor = await this.#executor;
        await executor.attempt();
        this.safe = true;
        const ms = Math.round(this.#clock.now() - begun);
        this.#log.warn({ port: this.port, ms }, `outputs of port ${this.port} are in their safe state`);
        return;
      } catch (error) {
        const message = messageOf(error);
        if (message !== told) this.#logError(`outputs of port ${this.port} are not safe: ${message}`);
        told = message;
      }
      if (this.#clock.now() - begun > GIVE_UP_MS) {
        this.#logError(`gave up making the outputs of port ${this.port} safe: ${told}`);
        return;
      }
      await sleep(this.#clock, wait);
      wait = Math.min(2 * wait, LONGEST_RETRY_MS);
    }
  }

  #logError(message: string): void {
    this.#log.error({ port: this.port }, message);
  }
}

/** Imports the module a last will names. */
export const importExecutor: LoadExecutor = async (url) => {
  const module: unknown = await import(url);
  const prepare: unknown = typeof module === 'object' && module !== null ? Reflect.get(module, 'prepare') : undefined;
  if (isPrepare(prepare)) return prepare;
  throw new DcsError('INTERNAL', `${url} carries out no last will`, { expected: 'an export named prepare' });
};

function isPrepare(found: unknown): found is Prepare {
  return typeof found === 'function';
}
