import { closeSync } from 'node:fs';
import { type Clock, type DurationMs, sleep } from '../clock/clock.ts';
import type { CrashPlan, HeldDescriptors } from '../driver/contract.ts';
import type { ExecutorContext, Prepare, SafeStateExecutor } from '../driver/crash-plan.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';

/** A failed attempt is repeated after this, doubling up to the longest. */
const FIRST_RETRY_MS: DurationMs = 20;
const LONGEST_RETRY_MS: DurationMs = 1000;
/** A device that cannot be reached for this long is left alone: a later agent may command it by then. */
export const GIVE_UP_MS: DurationMs = 60_000;

/** Loads the module of an executor. A test passes its own. */
export type LoadExecutor = (url: string) => Promise<Prepare>;

/** The crash plan of one port, and its executor. */
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
      // `ready` and `makeSafe` report the error.
      () => {
        for (const fd of descriptors) closeSync(fd);
      },
    );
  }

  /** It holds hardware. */
  get holds(): boolean {
    return this.#prepared?.holds === true;
  }

  /** Rejects when the plan cannot be carried out on this machine. */
  async ready(): Promise<void> {
    await this.#executor;
  }

  /** Drives the outputs until all are safe, GIVE_UP_MS have passed or `stop` is called. Never rejects. May be called again. */
  makeSafe(): Promise<void> {
    this.#stopped = false;
    this.#running ??= this.#makeSafe().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Drives nothing any more. Resolves after an attempt under way. Hardware stays held. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Releases all hardware; `pass` may first pass on what is held. */
  async release(pass?: (held: HeldDescriptors) => Promise<void>): Promise<void> {
    await this.stop();
    // Without an executor, the constructor has closed the descriptors.
    const executor = await this.#executor.catch(() => undefined);
    const held = pass && executor?.handOver?.();
    if (pass && held && held.descriptors.length > 0) {
      try {
        await pass(held);
      } catch (error) {
        this.#logError(
          `hardware of port ${this.port} is released, because it cannot be passed on: ${messageOf(error)}`,
        );
      }
    }
    await executor?.release();
  }

  async #makeSafe(): Promise<void> {
    const begun = this.#clock.now();
    let wait = FIRST_RETRY_MS;
    let logged = '';
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
        if (message !== logged) this.#logError(`outputs of port ${this.port} are not safe: ${message}`);
        logged = message;
      }
      if (this.#clock.now() - begun > GIVE_UP_MS) {
        this.#logError(`gave up making the outputs of port ${this.port} safe: ${logged}`);
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

/** Imports the module that a crash plan names. */
export const importExecutor: LoadExecutor = async (url) => {
  const module: unknown = await import(url);
  const prepare: unknown = typeof module === 'object' && module !== null ? Reflect.get(module, 'prepare') : undefined;
  if (isPrepare(prepare)) return prepare;
  throw new DcsError('INTERNAL', `${url} is no executor of a crash plan`, { expected: 'an export named prepare' });
};

function isPrepare(found: unknown): found is Prepare {
  return typeof found === 'function';
}
