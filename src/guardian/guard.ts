import type { Clock, DurationMs } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';
import type { Estate, LastWill } from '../driver/last-will.ts';
import { messageOf } from '../errors/errors.ts';
import type { Sight } from './messages.ts';
import { type LoadExecutor, Testament } from './testament.ts';

/** How often the guardian looks whether the agent has beaten. */
export const LOOK_MS: DurationMs = 50;
/** A killed agent that holds on to its hardware longer than this is stuck in the kernel: its outputs are driven anyway. */
const DEATH_LIMIT_MS: DurationMs = 500;
/** Of the declared time, so much (at most) is kept for killing the agent and driving the outputs. */
const RESERVE_MS: DurationMs = 1000;

/** What a guardian is told about its agent, and what it may do to it. */
export interface GuardLife {
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
  keeping(ports: readonly string[]): void;
  /** Nothing is left to do or to hold. */
  ended(): void;
}

/** Asked by the system to stop, it goes on trying to make outputs safe for so long. */
const LEAVE_LIMIT_MS: DurationMs = 2000;

type State = 'watching' | 'killing' | 'acting' | 'keeping' | 'handing-over' | 'ended';

/**
 * Watches over an agent, and puts its outputs in their safe state when it has crashed (its pipe closes) or hangs (no
 * beat for too long: then it is killed first, for it holds the hardware). After a good end it drives nothing, and holds what
 * it was passed, as it is.
 */
export class Guard {
  readonly #life: GuardLife;
  readonly #testaments = new Map<string, Testament>();
  #state: State = 'watching';
  #silentMs = 0;
  #lastLook: number;
  #stopAsked = false;
  #left: Sight['found'] = 'running';

  constructor(life: GuardLife) {
    this.#life = life;
    this.#lastLook = life.clock.now();
    this.#lookLater();
  }

  get state(): State {
    return this.#state;
  }

  /** How it fares. */
  get sight(): Pick<Sight, 'found' | 'held' | 'safe'> {
    const all = [...this.#testaments.values()];
    const found = this.#left;
    const ports = (some: readonly Testament[]) => some.map(({ port }) => port);
    return { found, held: ports(all.filter(({ holds }) => holds)), safe: ports(all.filter(({ safe }) => safe)) };
  }

  beat(): void {
    this.#silentMs = 0;
  }

  /** Takes over what is to be done about a port. Rejects when it cannot be done on this machine. */
  async will(port: string, will: LastWill | undefined): Promise<void> {
    const { clock, log, load } = this.#life;
    const before = this.#testaments.get(port);
    const testament = will && new Testament(port, will, load, { clock, log });
    if (testament) this.#testaments.set(port, testament);
    else this.#testaments.delete(port);
    await before?.release();
    // Told late: the agent was gone as soon as it had said so.
    if (this.#state === 'acting') void testament?.carryOut();
    await testament?.ready();
  }

  /** The agent ended in good order. */
  async bye(): Promise<void> {
    if (this.#state !== 'watching') return;
    this.#state = 'keeping';
    this.#left = 'stopped';
    const all = [...this.#testaments.values()];
    // What was passed only just now counts too.
    await Promise.allSettled(all.map((testament) => testament.ready()));
    if (!this.#is('keeping')) return;
    const held = all.filter(({ holds }) => holds);
    if (held.length === 0 || this.#stopAsked) {
      this.#end();
      return;
    }
    const ports = held.map(({ port }) => port);
    this.#life.log.info({ ports }, 'outputs are held as the agent has left them; dcs-io release lets go of them');
    this.#life.keeping(ports);
  }

  /** The agent is gone without a good-bye. */
  gone(): void {
    if (this.#state !== 'watching' && this.#state !== 'killing') return;
    this.#life.log.error({ agent: this.#life.agent }, 'the agent is gone: its outputs go to their safe state');
    this.#act();
  }

  /** The system stops us. While the agent lives that is its matter; afterwards the outputs are driven before we go. */
  leave(): void {
    if (this.#stopAsked) return;
    this.#stopAsked = true;
    if (this.#state === 'acting') this.#leaveSoon();
    else if (this.#state === 'keeping') this.#end();
  }

  /**
   * A new agent takes over: outputs are not driven any more. Returns the ports whose outputs are not all safe after a crash;
   * undefined while our own agent lives.
   */
  async handOver(): Promise<{ readonly crashed: boolean; readonly unsafe: readonly string[] } | undefined> {
    const crashed = this.#state === 'acting';
    if (this.#state === 'ended') return { crashed, unsafe: [] };
    if (!crashed && this.#state !== 'keeping') return undefined;
    this.#state = 'handing-over';
    const all = [...this.#testaments.values()];
    await Promise.all(all.map((testament) => testament.stop()));
    return { crashed, unsafe: crashed ? all.filter(({ safe }) => !safe).map(({ port }) => port) : [] };
  }

  /** Lets go of a port's hardware: the new agent is about to take it. `pass` may first hand on what is held. */
  async release(port: string, pass?: (estate: Estate) => Promise<void>): Promise<void> {
    if (this.#state === 'handing-over') await this.#testaments.get(port)?.release(pass);
  }

  /** The new agent has everything, or (`false`) is gone before it had. */
  handedOver(complete: boolean): void {
    if (this.#state !== 'handing-over') return;
    if (complete) this.#end();
    else {
      this.#life.log.error({}, 'the agent that was taking over is gone: outputs go to their safe state again');
      this.#act();
    }
  }

  /** A method, so that the compiler does not assume the state of before an await. */
  #is(state: State): boolean {
    return this.#state === state;
  }

  #lookLater(): void {
    this.#life.clock.after(LOOK_MS, () => {
      if (this.#state !== 'watching') return;
      const now = this.#life.clock.now();
      // If we were held up ourselves, beats may be waiting to be read: silence counts only while we listen.
      this.#silentMs += Math.min(now - this.#lastLook, 2 * LOOK_MS);
      this.#lastLook = now;
      if (this.#silentMs < this.#patience) this.#lookLater();
      else this.#kill();
    });
  }

  get #patience(): DurationMs {
    const { withinMs } = this.#life;
    return withinMs - Math.min(RESERVE_MS, withinMs / 2);
  }

  #kill(): void {
    const { agent, clock, log, kill } = this.#life;
    this.#state = 'killing';
    kill();
    log.error({ agent, silentMs: Math.round(this.#silentMs) }, 'the agent hangs: it is killed');
    // Its pipe closes when the kernel has taken its hardware from it.
    clock.after(DEATH_LIMIT_MS, () => this.gone());
  }

  #act(): void {
    this.#state = 'acting';
    this.#left = 'crashed';
    const all = [...this.#testaments.values()];
    void Promise.all(all.map((testament) => testament.carryOut())).then(() => {
      if (this.#state === 'acting' && (this.#stopAsked || !all.some(({ holds }) => holds))) this.#end();
    });
    if (this.#stopAsked) this.#leaveSoon();
  }

  #leaveSoon(): void {
    this.#life.clock.after(LEAVE_LIMIT_MS, () => {
      if (this.#state === 'acting') this.#end();
    });
    if ([...this.#testaments.values()].every(({ safe }) => safe)) this.#end();
  }

  #end(): void {
    this.#state = 'ended';
    Promise.all([...this.#testaments.values()].map((testament) => testament.release())).then(
      () => this.#life.ended(),
      (error: unknown) => {
        this.#life.log.error({}, `hardware was not let go: ${messageOf(error)}`);
        this.#life.ended();
      },
    );
  }
}
