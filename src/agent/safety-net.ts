import type { Clock } from '../clock/clock.ts';
import type { ResolvedConfig, ResolvedPin } from '../config/resolved.ts';
import type { Channel, Log, Port } from '../driver/driver.ts';
import type { Estate, LastWill, SafeWrite } from '../driver/last-will.ts';
import { toDcsError } from '../errors/errors.ts';
import { Predecessors } from '../guardian/predecessor.ts';
import { identityOf, rendezvousFolder, socketPath } from '../guardian/rendezvous.ts';
import { toRaw } from '../io/convert.ts';
import { GuardianLink } from './guardian-link.ts';

/** What becomes of the outputs when this process cannot see to them: what its guardian is told, and what an earlier one hands over. */
export class SafetyNet {
  readonly #config: ResolvedConfig;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #link: GuardianLink | undefined;
  #before: Predecessors | undefined;

  constructor(config: ResolvedConfig, clock: Clock, log: Log) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    const { guardianMs: withinMs } = config;
    if (withinMs === undefined) return;
    const socket = socketPath(rendezvousFolder(), this.#identity, process.pid);
    this.#link = new GuardianLink({ withinMs, socket, clock, log });
  }

  get stats(): { pid: number | undefined; restarts: number } | undefined {
    return this.#link && { pid: this.#link.pid, restarts: this.#link.restarts };
  }

  /** Has guardians of earlier lives drive nothing any more. Bounded, never rejects. */
  async takeOver(): Promise<void> {
    await this.#link?.prepare();
    this.#before = await Predecessors.find(rendezvousFolder(), this.#identity, this.#clock, this.#log);
  }

  /** Ports whose outputs are in a state nobody knows, after a crash. */
  isLost(port: string): boolean {
    return this.#before?.isUnsafe(port) === true;
  }

  async reclaim(port: string): Promise<readonly Estate[]> {
    return (await this.#before?.release(port)) ?? [];
  }

  /** Every port has been tried: an earlier guardian is not needed any more. */
  async tookOver(): Promise<void> {
    await this.#before?.done();
  }

  /** A port is open: tells the guardian how its outputs get safe. */
  opened(name: string, port: Port, channelOf: (pin: ResolvedPin) => Channel): void {
    if (!this.#link) return;
    const writes = this.#config.pins
      .filter((pin) => pin.port === name)
      .flatMap((pin): SafeWrite[] => {
        const { direction, safe } = pin.spec;
        if (direction !== 'out' || safe === undefined) return [];
        return [{ channel: channelOf(pin), value: toRaw(pin.spec, safe) }];
      });
    this.#link.entrust(name, () => this.#lastWill(name, port, writes));
  }

  /** A port went down. */
  lost(name: string): void {
    this.#link?.letGo(name);
  }

  /** The agent has ended in good order. Bounded, never rejects. */
  async stop(): Promise<void> {
    await this.#link?.stop();
  }

  /** Undefined: there is nothing to be driven, and nothing to be held. */
  #lastWill(name: string, port: Port, writes: readonly SafeWrite[]): LastWill | undefined {
    try {
      const will = port.lastWill?.(writes);
      return writes.length > 0 || will?.descriptors?.length ? will : undefined;
    } catch (thrown) {
      const { message } = toDcsError(thrown);
      this.#log.error({ port: name }, `after a crash the outputs of port ${name} would stay as they are: ${message}`);
      return undefined;
    }
  }

  get #identity(): string {
    return identityOf(this.#config.file, this.#config.node);
  }
}
