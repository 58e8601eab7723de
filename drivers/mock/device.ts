import { appendFileSync, readFileSync } from 'node:fs';
import type { Clock, DurationMs } from '../../src/clock/clock.ts';
import { DcsError, systemCode } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { PinKind, RawValue } from '../../src/pin/pin.ts';

/** A fault of a simulated channel. */
export type Fault =
  | { readonly kind: 'error'; readonly message: string }
  /** Reads and writes get no answer: they fail with TIMEOUT. */
  | { readonly kind: 'timeout' };

/** A write that the simulated hardware received. `at` is the port's monotonic clock, ms. */
export interface RecordedWrite {
  readonly key: string;
  readonly value: RawValue;
  readonly at: number;
}

/** Most writes kept for inspection; the oldest are dropped first. */
const RECORD_LIMIT = 10_000;

/**
 * The simulated hardware behind mock ports. It outlives a port, as real hardware does: a port that is closed and opened again
 * finds the same levels.
 */
export class MockDevice {
  /** All writes of the ports, in order. */
  readonly writes: RecordedWrite[] = [];
  /** Keys of the outputs that are not driven. */
  readonly floating = new Set<string>();
  readonly #values = new Map<string, RawValue>();
  readonly #wires = new Map<string, string[]>();
  readonly #faults = new Map<string, Fault>();
  readonly #watchers = new Set<(key: string) => void>();
  readonly #unplugged = new Set<(error: DcsError) => void>();
  readonly #record: WriteLog | undefined;
  #unplugError: DcsError | undefined;

  /** With a `file`, levels outlive the process too, as those of real hardware do. */
  constructor(file?: string) {
    this.#record = file === undefined ? undefined : new WriteLog(file);
    for (const [key, value] of this.#record?.levels() ?? []) this.#values.set(key, value);
  }

  /** The level of a channel; the zero of its kind until the channel is driven or set. */
  get(key: string, kind: PinKind = 'digital'): RawValue {
    return this.#values.get(key) ?? (kind === 'digital' ? false : kind === 'text' ? '' : 0);
  }

  /** Changes a channel from outside, as a switch does. */
  set(key: string, value: RawValue): void {
    this.#values.set(key, value);
    for (const watcher of [...this.#watchers]) watcher(key);
    for (const wired of this.#wires.get(key) ?? []) this.set(wired, value);
  }

  /** Drives an output for a port, and records the write. */
  write(key: string, value: RawValue, clock: Clock): void {
    this.writes.push({ key, value, at: clock.now() });
    this.floating.delete(key);
    if (this.writes.length > RECORD_LIMIT) this.writes.shift();
    this.#record?.write(key, value);
    this.set(key, value);
  }

  /** Wires an output to an input: the input shows what is written to the output. Throws BAD_CONFIG for a loop. */
  wire(from: string, to: string): void {
    if (from === to || this.#reaches(to, from)) {
      throw new DcsError('BAD_CONFIG', `the loopback ${from} → ${to} closes a circle`, {
        expected: 'wires that end at an input',
      });
    }
    this.#wires.set(from, [...(this.#wires.get(from) ?? []), to]);
  }

  /** Gives a channel a fault (`*`: all channels); `undefined` ends it. Ports tell it at once. */
  fault(key: string, fault: Fault | undefined): void {
    if (fault) this.#faults.set(key, fault);
    else this.#faults.delete(key);
    for (const watcher of [...this.#watchers]) watcher(key);
  }

  faultOf(key: string): Fault | undefined {
    return this.#faults.get(key) ?? this.#faults.get('*');
  }

  /** Contact bounce: `times` changes, `every` ms apart, the last one to `level`. */
  bounce(key: string, level: boolean, times: number, every: DurationMs, clock: Clock): void {
    for (let change = 0; change < times; change++) {
      const shown = (times - change) % 2 === 1 ? level : !level;
      clock.after(change * every, () => this.set(key, shown));
    }
  }

  /** Open ports go down, and opening fails until `plug`. */
  unplug(reason = 'unplugged'): void {
    this.#unplugError = new DcsError('PORT_DOWN', reason);
    for (const unplugged of [...this.#unplugged]) unplugged(this.#unplugError);
  }

  plug(): void {
    this.#unplugError = undefined;
  }

  /** Why a port cannot be opened now; `undefined` when it can. */
  get unplugError(): DcsError | undefined {
    return this.#unplugError;
  }

  /** For ports: calls `changed` with the key that changed (`*`: any may have). Returns the way to end that. */
  watch(changed: (key: string) => void, unplugged: (error: DcsError) => void): () => void {
    this.#watchers.add(changed);
    this.#unplugged.add(unplugged);
    return () => {
      this.#watchers.delete(changed);
      this.#unplugged.delete(unplugged);
    };
  }

  #reaches(from: string, to: string): boolean {
    return (this.#wires.get(from) ?? []).some((next) => next === to || this.#reaches(next, to));
  }
}

/**
 * Records writes in a file that other processes can watch: one JSON line a write with `key`, `value`, `at` (ms of the
 * system's monotonic clock, the same in every process) and `by` (process id).
 */
export class WriteLog {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Throws a SystemError when the file cannot be written. */
  write(key: string, value: RawValue): void {
    const at = Number(process.hrtime.bigint()) / 1e6;
    appendFileSync(this.#file, `${JSON.stringify({ key, value, at, by: process.pid })}\n`);
  }

  /** The last value of each key; empty when there is no file yet. */
  levels(): Map<string, RawValue> {
    const levels = new Map<string, RawValue>();
    for (const line of this.#lines()) {
      const found: unknown = JSON.parse(line);
      if (!isRecord(found) || typeof found['key'] !== 'string') continue;
      const { key, value } = found;
      if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') levels.set(key, value);
    }
    return levels;
  }

  #lines(): string[] {
    try {
      // The last part has no line end: a process was killed while it wrote.
      return readFileSync(this.#file, 'utf8').split('\n').slice(0, -1);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}
