import type { Clock, DurationMs, Timer } from '../../src/clock/clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { ModbusException } from './protocol/exception.ts';
import type { ModbusTask } from './transport/transport.ts';
import { sendWrite } from './write.ts';

export interface HeartbeatSpec {
  readonly holding: number;
  readonly every: DurationMs;
  /** Values written in turn. `undefined`: a counter. */
  readonly values?: readonly number[] | undefined;
}

/**
 * Writes the watchdog register of one device periodically. The device goes to its own safe state when the writes stop. A
 * write that cannot be sent in time is left out and counted.
 */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #unit: number;
  readonly #spec: HeartbeatSpec;
  readonly #run: (task: ModbusTask<void>) => Promise<void>;
  readonly #count: (name: string) => void;
  #timer: Timer | undefined;
  #writes = 0;
  #ended = false;

  constructor(
    unit: number,
    spec: HeartbeatSpec,
    clock: Clock,
    run: (task: ModbusTask<void>) => Promise<void>,
    count: (name: string) => void,
  ) {
    this.#unit = unit;
    this.#spec = spec;
    this.#clock = clock;
    this.#run = run;
    this.#count = count;
  }

  start(): void {
    const { every, holding, values } = this.#spec;
    if (this.#ended) return;
    this.#timer = this.#clock.after(every, () => this.start());
    const index = this.#writes++;
    const word = values?.[index % values.length] ?? index & 0xffff;
    const write = { kind: 'write-register', unit: this.#unit, at: holding, word } as const;
    this.#run({
      lane: 'write',
      unit: this.#unit,
      key: `heartbeat of unit ${this.#unit}`,
      ttlMs: every,
      work: (transact) => sendWrite(transact, write),
    }).catch((error: unknown) => {
      if (this.#ended) return;
      this.#count('heartbeats_missed');
      // A missing register is a mistake in the configuration, not a passing fault.
      if (error instanceof ModbusException && error.code === 'NO_SUCH_CHANNEL') this.#count('heartbeats_refused');
      else if (!(error instanceof DcsError)) throw error;
    });
  }

  stop(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }
}
