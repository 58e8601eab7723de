import type { Clock, DurationMs } from '../clock/clock.ts';
import type { CrashPlan, HeldDescriptors } from '../driver/contract.ts';
import { messageOf } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { GuardianStatus } from './messages.ts';
import { type LoadExecutor, PortPlan } from './port-plan.ts';

/** Period of the check for a heartbeat of the agent. */
export const CHECK_MS: DurationMs = 50;
/** An agent that still holds its hardware this long after SIGKILL is stuck in the kernel: its outputs are driven anyway. */
const KILL_LIMIT_MS: DurationMs = 500;
/** The most of `withinMs` that is kept for killing the agent and driving the outputs. */
const RESERVE_MS: DurationMs = 1000;

/** The process that a guard works in. */
export interface GuardEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  /** Process id of the agent. */
  readonly agent: number;
  /** Outputs must be safe this long after the agent's last heartbeat, plus the time that the hardware takes. */
  readonly withinMs: DurationMs;
  /** Kills the agent, unless its process id belongs to another process by now. */
  kill(): void;
  readonly load: LoadExecutor;
  /** The agent has stopped, and the hardware of these ports is held for its next run. */
  holding(ports: readonly string[]): void;
  /** Nothing is left to drive or to hold. */
  ended(): void;
}

/** After SIGTERM the guardian goes on trying to make outputs safe for this long. */
const TERMINATE_LIMIT_MS: DurationMs = 2000;

type State = 'watching' | 'killing' | 'driving-safe' | 'holding' | 'handing-over' | 'ended';

/**
 * Watches an agent, and drives its outputs to their safe state when it crashes (its pipe closes) or hangs (no heartbeat for
 * too long). A hung agent is killed first, because it holds the hardware. After a stop the guard drives nothing, and holds the
 * hardware that it was passed as it is.
 */
export class Guard {
  readonly #environment: GuardEnvironment;
  readonly #plans = new Map<string, PortPlan>();
  #state: State = 'watching';
  #silentMs = 0;
  #lastCheck: number;
  #terminating = false;
  #agentState: GuardianStatus['found'] = 'running';

  constructor(environment: GuardEnvironment) {
    this.#environment = environment;
    this.#lastCheck = environment.clock.now();
    this.#scheduleCheck();
  }

  get state(): State {
    return this.#state;
  }

  /** Its status, as `dcs-io doctor` shows it. */
  get status(): Pick<GuardianStatus, 'found' | 'held' | 'safe'> {
    const all = [...this.#plans.values()];
    const found = this.#agentState;
    const ports = (some: readonly PortPlan[]) => some.map(({ port }) => port);
    return { found, held: ports(all.filter(({ holds }) => holds)), safe: ports(all.filter(({ safe }) => safe)) };
  }

  beat(): void {
    this.#silentMs = 0;
  }

  /** Takes the crash plan of a port. Rejects when it cannot be carried out on this machine. */
  async setPlan(port: string, crashPlan: CrashPlan | undefined): Promise<void> {
    const { clock, log, load } = this.#environment;
    const before = this.#plans.get(port);
    const portPlan = crashPlan && new PortPlan(port, crashPlan, load, { clock, log });
    if (portPlan) this.#plans.set(port, portPlan);
    else this.#plans.delete(port);
    await before?.release();
    // The agent crashed right after it had sent this plan.
    if (this.#state === 'driving-safe') void portPlan?.makeSafe();
    await portPlan?.ready();
  }

  /** The agent has stopped by itself. */
  async agentStopped(): Promise<void> {
    if (this.#state !== 'watching') return;
    this.#state = 'holding';
    this.#agentState = 'stopped';
    const all = [...this.#plans.values()];
    // A plan that has just arrived may hold hardware too.
    await Promise.allSettled(all.map((portPlan) => portPlan.ready()));
    if (!this.#is('holding')) return;
    const held = all.filter(({ holds }) => holds);
    if (held.length === 0 || this.#terminating) {
      this.#end();
      return;
    }
    const ports = held.map(({ port }) => port);
    this.#environment.log.info({ ports }, 'outputs stay as the agent has left them; dcs-io release ends that');
    this.#environment.holding(ports);
  }

  /** The agent has ended without a stop. */
  agentGone(): void {
    if (this.#state !== 'watching' && this.#state !== 'killing') return;
    this.#environment.log.error(
      { agent: this.#environment.agent },
      'the agent is gone: its outputs go to their safe state',
    );
    this.#driveSafe();
  }

  /** SIGTERM. While the agent runs, its own stop decides; after a crash the outputs are driven before this process ends. */
  terminate(): void {
    if (this.#terminating) return;
    this.#terminating = true;
    if (this.#state === 'driving-safe') this.#endSoon();
    else if (this.#state === 'holding') this.#end();
  }

  /**
   * A new agent takes over: outputs are not driven any more. Resolves with the ports whose outputs are not all safe after a
   * crash; with `undefined` while the guard's own agent runs.
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

  /** Releases the hardware of a port, which the new agent is about to take. `pass` may first pass on what is held. */
  async release(port: string, pass?: (held: HeldDescriptors) => Promise<void>): Promise<void> {
    if (this.#state === 'handing-over') await this.#plans.get(port)?.release(pass);
  }

  /** The new agent has taken everything over, or (`false`) has ended before. */
  endHandover(complete: boolean): void {
    if (this.#state !== 'handing-over') return;
    if (complete) this.#end();
    else {
      this.#environment.log.error({}, 'the agent that was taking over has ended: outputs go to their safe state again');
      this.#driveSafe();
    }
  }

  /** A method, because the compiler would assume the state from before an await. */
  #is(state: State): boolean {
    return this.#state === state;
  }

  #scheduleCheck(): void {
    this.#environment.clock.after(CHECK_MS, () => {
      if (this.#state !== 'watching') return;
      const now = this.#environment.clock.now();
      // After a pause of this process, heartbeats may wait to be read: silence counts only while it listens.
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
    log.error({ agent, silentMs: Math.round(this.#silentMs) }, 'the agent hangs: killing it');
    // Its pipe closes once the kernel has released its hardware.
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
        this.#environment.log.error({}, `hardware was not released: ${messageOf(error)}`);
        this.#environment.ended();
      },
    );
  }
}
