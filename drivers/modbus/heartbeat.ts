import type { Clock, DurationMs, Timer } from '../../src/clock/clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { ModbusException } from './protocol/exception.ts';
import { isUnanswered, sendWrite } from './send-write.ts';
import type { ModbusTask } from './transport/transport.ts';
import type { WriteAttempt } from './write-functions.ts';

export interface HeartbeatSpec {
  readonly holding: number;
  readonly every: DurationMs;
  /** Values written in turn. `undefined`: a counter. */
  readonly values?: readonly number[] | undefined;
}

/** The bus that a heartbeat is sent on. */
export interface HeartbeatBus {
  readonly clock: Clock;
  run(task: ModbusTask<void>): Promise<void>;
  count(name: string): void;
  /** Begins a write of the watchdog register. */
  attempt(): WriteAttempt;
}

/**
 * Writes the watchdog register of one device periodically. The device goes to its own safe state when the writes stop. A
 * write that cannot be sent in time is left out and counted.
 */
export class Heartbeat {
  readonly #unit: number;
  readonly #spec: HeartbeatSpec;
  readonly #bus: HeartbeatBus;
  /** The attempt with another function, after one got no answer. */
  #next: WriteAttempt | undefined;
  #timer: Timer | undefined;
  #writes = 0;
  #ended = false;

  constructor(unit: number, spec: HeartbeatSpec, bus: HeartbeatBus) {
    this.#unit = unit;
    this.#spec = spec;
    this.#bus = bus;
  }

  start(): void {
    const { every, holding, values } = this.#spec;
    const { clock, run, count, attempt: begin } = this.#bus;
    if (this.#ended) return;
    this.#timer = clock.after(every, () => this.start());
    const index = this.#writes++;
    const word = values?.[index % values.length] ?? index & 0xffff;
    const write = { kind: 'write-register', unit: this.#unit, at: holding, word } as const;
    const attempt = this.#next ?? begin();
    this.#next = undefined;
    run({
      lane: 'write',
      unit: this.#unit,
      key: `heartbeat of unit ${this.#unit}`,
      ttlMs: every,
      work: (transact) => sendWrite(transact, [write], attempt),
    }).catch((error: unknown) => {
      if (this.#ended) return;
      count('heartbeats_missed');
      if (!(error instanceof DcsError)) throw error;
      if (isUnanswered(error)) this.#next = attempt.afterSilence();
      // A missing register is a mistake in the configuration, not a passing fault.
      if (error instanceof ModbusException && error.code === 'NO_SUCH_CHANNEL') count('heartbeats_refused');
    });
  }

  stop(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }
}
