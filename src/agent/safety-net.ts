import type { Clock } from '../clock/clock.ts';
import type { ResolvedConfig, ResolvedPin } from '../config/resolved.ts';
import type { Channel, Log, Port } from '../driver/driver.ts';
import type { SafeWrite } from '../driver/last-will.ts';
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

  /** Has the guardian of a life that crashed drive nothing any more. Bounded, never rejects. */
  async takeOver(): Promise<void> {
    this.#before = await Predecessors.find(rendezvousFolder(), this.#identity, this.#clock, this.#log);
  }

  /** Ports whose outputs are in a state nobody knows, after a crash. */
  isLost(port: string): boolean {
    return this.#before?.unsafe.has(port) === true;
  }

  async reclaim(port: string): Promise<void> {
    await this.#before?.release(port);
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
    try {
      this.#link.entrust(name, writes.length === 0 ? undefined : port.lastWill?.(writes));
    } catch (thrown) {
      const { message } = toDcsError(thrown);
      this.#log.error({ port: name }, `after a crash the outputs of port ${name} would stay as they are: ${message}`);
    }
  }

  /** The agent has ended in good order. Bounded, never rejects. */
  async stop(): Promise<void> {
    await this.#link?.stop();
  }

  get #identity(): string {
    return identityOf(this.#config.file, this.#config.node);
  }
}
