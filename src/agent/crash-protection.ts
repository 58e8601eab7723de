import type { Clock } from '../clock/clock.ts';
import type { ResolvedConfig, ResolvedPin } from '../config/resolved.ts';
import type { Channel, CrashPlan, HeldDescriptors, Port, SafeWrite } from '../driver/contract.ts';
import { toDcsError } from '../errors/errors.ts';
import { PreviousGuardians } from '../guardian/previous-guardians.ts';
import { agentIdentity, socketFolder, socketPath } from '../guardian/takeover-socket.ts';
import { toRaw } from '../io/convert.ts';
import type { Log } from '../log/log.ts';
import { GuardianProcess } from './guardian-process.ts';

/** Makes outputs safe when this process cannot: gives its guardian the crash plans, and takes over from guardians of earlier runs. */
export class CrashProtection {
  readonly #config: ResolvedConfig;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #guardian: GuardianProcess | undefined;
  readonly #simulated: boolean;
  #previous: PreviousGuardians | undefined;

  /** `simulated`: guardians of earlier runs, which may hold real hardware, are left alone. */
  constructor(
    config: ResolvedConfig,
    { clock, log, simulated = false }: { readonly clock: Clock; readonly log: Log; readonly simulated?: boolean },
  ) {
    this.#simulated = simulated;
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    const { guardianMs: withinMs } = config;
    if (withinMs === undefined) return;
    const socket = socketPath(socketFolder(), this.#identity, process.pid);
    this.#guardian = new GuardianProcess({ withinMs, socket, clock, log });
  }

  get stats(): { pid: number | undefined; restarts: number } | undefined {
    return this.#guardian && { pid: this.#guardian.pid, restarts: this.#guardian.restarts };
  }

  /** Asks guardians of earlier runs to drive nothing any more. Bounded, never rejects. */
  async takeOver(): Promise<void> {
    await this.#guardian?.prepare();
    if (this.#simulated) return;
    this.#previous = await PreviousGuardians.find(socketFolder(), this.#identity, this.#clock, this.#log);
  }

  /** Whether the state of a port's outputs is unknown, after a crash. */
  outputsUnknown(port: string): boolean {
    return this.#previous?.isUnsafe(port) === true;
  }

  async reclaim(port: string): Promise<readonly HeldDescriptors[]> {
    return (await this.#previous?.release(port)) ?? [];
  }

  /** Ends guardians of earlier runs, once every port has been tried. */
  async finishTakeOver(): Promise<void> {
    await this.#previous?.finish();
  }

  /** Gives the guardian the crash plan of a port that is open. */
  portOpened(name: string, port: Port, channelOf: (pin: ResolvedPin) => Channel): void {
    if (!this.#guardian) return;
    const writes = this.#config.pins
      .filter((pin) => pin.port === name)
      .flatMap((pin): SafeWrite[] => {
        const { direction, safe } = pin.spec;
        if (direction !== 'out' || safe === undefined) return [];
        return [{ channel: channelOf(pin), value: toRaw(pin.spec, safe) }];
      });
    this.#guardian.setPlan(name, () => this.#crashPlan(name, port, writes));
  }

  /** Makes the guardian release the hardware of a port that went down. */
  portLost(name: string): void {
    this.#guardian?.releaseDescriptors(name);
  }

  /** Tells the guardian that the agent stops. Bounded, never rejects. */
  async stop(): Promise<void> {
    await this.#guardian?.stop();
  }

  /** `undefined` when there is nothing to drive or to hold. */
  #crashPlan(name: string, port: Port, writes: readonly SafeWrite[]): CrashPlan | undefined {
    try {
      const crashPlan = port.crashPlan?.(writes);
      return writes.length > 0 || crashPlan?.descriptors?.length ? crashPlan : undefined;
    } catch (thrown) {
      const { message } = toDcsError(thrown);
      this.#log.error({ port: name }, `after a crash the outputs of port ${name} would stay as they are: ${message}`);
      return undefined;
    }
  }

  get #identity(): string {
    return agentIdentity(this.#config.file, this.#config.node);
  }
}
