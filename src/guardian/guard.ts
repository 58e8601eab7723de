import type { Clock, DurationMs } from '../clock/clock.ts';
import type { CrashPlan, HeldDescriptors } from '../driver/contract.ts';
import { messageOf } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { GuardianStatus } from './messages.ts';
import { type LoadExecutor, PortPlan } from './port-plan.ts';

/** How often the guardian looks whether the agent has beaten. */
export const CHECK_MS: DurationMs = 50;
/** A killed agent that holds on to its hardware longer than this is stuck in the kernel: its outputs are driven anyway. */
const KILL_LIMIT_MS: DurationMs = 500;
/** Of the declared time, so much (at most) is kept for killing the agent and driving the outputs. */
const RESERVE_MS: DurationMs = 1000;

/** What a guardian is told about its agent, and what it may do to it. */
export interface GuardEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  /** Process id of the agent. */
  readonly agent: number;
  /** Outputs are to be safe this long after the agent's last sign of life (plus what the hardware takes). */
  readonly withinMs: DurationMs;
  /** Kills the agent, if that process still is the agent. */
  kill(): void;
  readonly load: LoadExecutor;
  /** After the good-bye: hardware of these ports is held for the next life. */
  holding(ports: readonly string[]): void;
  /** Nothing is left to do or to hold. */
  ended(): void;
}

/** Asked by the system to stop, it goes on trying to make outputs safe for so long. */
const TERMINATE_LIMIT_MS: DurationMs = 2000;

type State = 'watching' | 'killing' | 'driving-safe' | 'holding' | 'handing-over' | 'ended';

/**
 * Watches over an agent, and puts its outputs in their safe state when it has crashed (its pipe closes) or hangs (no
 * beat for too long: then it is killed first, for it holds the hardware). After a good end it drives nothing, and holds what
 * it was passed, as it is.
 */
export class Guard {
  readonly #environment: GuardEnvironment;
  readonly #plans = new Map<string, PortPlan>();
  #state: State = 'watching';
  #silentMs = 0;
  #lastCheck: number;
  #terminating = false;
  #agentState: GuardianStatus['found'] = 'running';

  constructor(life: GuardEnvironment) {
    this.#environment = life;
    this.#lastCheck = life.clock.now();
    this.#scheduleCheck();
  }

  get state(): State {
    return this.#state;
  }

  /** How it fares. */
  get status(): Pick<GuardianStatus, 'found' | 'held' | 'safe'> {
    const all = [...this.#plans.values()];
    const found = this.#agentState;
    const ports = (some: readonly PortPlan[]) => some.map(({ port }) => port);
    return { found, held: ports(all.filter(({ holds }) => holds)), safe: ports(all.filter(({ safe }) => safe)) };
  }

  beat(): void {
    this.#silentMs = 0;
  }

  /** Takes over what is to be done about a port. Rejects when it cannot be done on this machine. */
  async setPlan(port: string, crashPlan: CrashPlan | undefined): Promise<void> {
    const { clock, log, load } = this.#environment;
    const before = this.#plans.get(port);
    const portPlan = crashPlan && new PortPlan(port, crashPlan, load, { clock, log });
    if (portPlan) this.#plans.set(port, portPlan);
    else this.#plans.delete(port);
    await before?.release();
    // Told late: the agent was gone as soon as it had said so.
    if (this.#state === 'driving-safe') void portPlan?.makeSafe();
    await portPlan?.ready();
  }

  /** The agent ended in good order. */
  async agentStopped(): Promise<void> {
    if (this.#state !== 'watching') return;
    this.#state = 'holding';
    this.#agentState = 'stopped';
    const all = [...this.#plans.values()];
    // What was passed only just now counts too.
    await Promise.allSettled(all.map((portPlan) => portPlan.ready()));
    if (!this.#is('holding')) return;
    const held = all.filter(({ holds }) => holds);
    if (held.length === 0 || this.#terminating) {
      this.#end();
      return;
    }
    const ports = held.map(({ port }) => port);
    this.#environment.log.info(
      { ports },
      'outputs are held as the agent has left them; dcs-io release lets go of them',
    );
    this.#environment.holding(ports);
  }

  /** The agent is gone without a good-bye. */
  agentGone(): void {
    if (this.#state !== 'watching' && this.#state !== 'killing') return;
    this.#environment.log.error(
      { agent: this.#environment.agent },
      'the agent is gone: its outputs go to their safe state',
    );
    this.#driveSafe();
  }

  /** The system stops us. While the agent lives that is its matter; afterwards the outputs are driven before we go. */
  terminate(): void {
    if (this.#terminating) return;
    this.#terminating = true;
    if (this.#state === 'driving-safe') this.#endSoon();
    else if (this.#state === 'holding') this.#end();
  }

  /**
   * A new agent takes over: outputs are not driven any more. Returns the ports whose outputs are not all safe after a crash;
   * undefined while our own agent lives.
   */
  async beginHandover(): Promise<{ readonly crashed: boolean; readonly unsafe: readonly string[] } | undefined> {
    const crashed = this.#state === 'driving-safe';
    if (this.#state === 'ended') return { crashed, unsafe: [] };
    if (!crashed && this.#state !== 'holding') return undefined;
    this.#state = 'handing-over';
    const all = [...this.#plans.values()];
    await Promise.all(all.map((portPlan) => portPlan.stop()));
    return { crashed, unsafe: crashed ? all.filter(({ safe }) => !safe).map(({ port }) => port) : [] };
  }

  /** Lets go of a port's hardware: the new agent is about to take it. `pass` may first hand on what is held. */
  async release(port: string, pass?: (estate: HeldDescriptors) => Promise<void>): Promise<void> {
    if (this.#state === 'handing-over') await this.#plans.get(port)?.release(pass);
  }

  /** The new agent has everything, or (`false`) is gone before it had. */
  endHandover(complete: boolean): void {
    if (this.#state !== 'handing-over') return;
    if (complete) this.#end();
    else {
      this.#environment.log.error({}, 'the agent that was taking over is gone: outputs go to their safe state again');
      this.#driveSafe();
    }
  }

  /** A method, so that the compiler does not assume the state of before an await. */
  #is(state: State): boolean {
    return this.#state === state;
  }

  #scheduleCheck(): void {
    this.#environment.clock.after(CHECK_MS, () => {
      if (this.#state !== 'watching') return;
      const now = this.#environment.clock.now();
      // If we were held up ourselves, beats may be waiting to be read: silence counts only while we listen.
      this.#silentMs += Math.min(now - this.#lastCheck, 2 * CHECK_MS);
      this.#lastCheck = now;
      if (this.#silentMs < this.#silenceLimitMs) this.#scheduleCheck();
      else this.#kill();
    });
  }

  get #silenceLimitMs(): DurationMs {
    const { withinMs } = this.#environment;
    return withinMs - Math.min(RESERVE_MS, withinMs / 2);
  }

  #kill(): void {
    const { agent, clock, log, kill } = this.#environment;
    this.#state = 'killing';
    kill();
    log.error({ agent, silentMs: Math.round(this.#silentMs) }, 'the agent hangs: it is killed');
    // Its pipe closes when the kernel has taken its hardware from it.
    clock.after(KILL_LIMIT_MS, () => this.agentGone());
  }

  #driveSafe(): void {
    this.#state = 'driving-safe';
    this.#agentState = 'crashed';
    const all = [...this.#plans.values()];
    void Promise.all(all.map((portPlan) => portPlan.makeSafe())).then(() => {
      if (this.#state === 'driving-safe' && (this.#terminating || !all.some(({ holds }) => holds))) this.#end();
    });
    if (this.#terminating) this.#endSoon();
  }

  #endSoon(): void {
    this.#environment.clock.after(TERMINATE_LIMIT_MS, () => {
      if (this.#state === 'driving-safe') this.#end();
    });
    if ([...this.#plans.values()].every(({ safe }) => safe)) this.#end();
  }

  #end(): void {
    this.#state = 'ended';
    Promise.all([...this.#plans.values()].map((portPlan) => portPlan.release())).then(
      () => this.#environment.ended(),
      (error: unknown) => {
        this.#environment.log.error({}, `hardware was not let go: ${messageOf(error)}`);
        this.#environment.ended();
      },
    );
  }
}
