import type { Channel, Reading, ReadingListener } from '../../src/driver/contract.ts';
import type { PolledItem } from '../../src/driver/kit/poller.ts';
import type { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { type ModbusAddress, readSpanOf, registerFormat } from './address.ts';
import { bitAt, type Span } from './protocol/request.ts';
import type { RegisterFormat } from './register-format.ts';

/** What a port keeps of one channel: how to read it, who listens, and what they were last told. */
export class PolledChannel implements PolledItem {
  readonly channel: Channel<ModbusAddress>;
  #span: Span;
  #located: boolean;
  readonly periodMs: number;
  readonly format: RegisterFormat | undefined;
  /** Line settings of its unit, where they are its own; what has the same is best read in one go. */
  readonly lineKey: string;
  /** Registers that are read along before the value itself. */
  readonly #leadingRegisters: number;
  readonly #listeners = new Set<ReadingListener>();
  #last: Reading | undefined;
  /** The device has refused to let it be read; it may still be written. */
  writeOnly = false;
  /** Commands under way. */
  pendingCommands = 0;
  /** Number of the latest write; an older one that waits for a busy device is overtaken. */
  lastWrite = 0;

  constructor(channel: Channel<ModbusAddress>, defaults: { unit: number; poll: number }) {
    this.channel = channel;
    this.#span = readSpanOf(channel.address, defaults);
    this.#located = channel.address.model === undefined;
    this.#leadingRegisters = channel.address.first - this.#span.first;
    this.periodMs = channel.address.pollMs ?? defaults.poll;
    this.format = registerFormat(channel.address);
    this.lineKey = JSON.stringify(channel.address.quirks?.line ?? '');
  }

  get span(): Span {
    return this.#span;
  }

  /** Whether its address on the wire is known; that of a SunSpec point is once its model has been found. */
  get located(): boolean {
    return this.#located;
  }

  /** Its model begins at `base`. */
  locate(base: number): void {
    if (this.#located) return;
    this.#located = true;
    this.#span = { ...this.#span, first: this.#span.first + base };
  }

  get neverRead(): boolean {
    return this.#last === undefined;
  }

  get last(): Reading | undefined {
    return this.#last;
  }

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  /** The value in a reply that begins `offset` registers or bits before it. */
  decode(data: Buffer, offset: number): Reading {
    return this.format
      ? this.format.decode(data, 2 * (offset + this.#leadingRegisters))
      : { ok: true, value: bitAt(data, offset) };
  }

  /** The value in registers or bits that hold nothing else. */
  decodeExact(data: Buffer): Reading {
    return this.format ? this.format.decode(data, 0) : { ok: true, value: bitAt(data, 0) };
  }

  /** What a device shows that has taken this value. */
  expectedReading(value: RawValue): RawValue | undefined {
    if (!this.format) return value;
    const shown = this.format.decode(this.format.encode(value), 0);
    return shown.ok ? shown.value : undefined;
  }

  deliver(data: Buffer, offset: number): void {
    this.report(this.decode(data, offset));
  }

  fail(error: DcsError): void {
    this.report({ ok: false, error });
  }

  listen(listener: ReadingListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  silence(): void {
    this.#listeners.clear();
  }

  /** Passes a reading on if it says anything new. */
  report(reading: Reading): void {
    if (this.#last && sameReading(this.#last, reading)) return;
    this.#last = reading;
    for (const listener of [...this.#listeners]) listener(reading);
  }
}

function sameReading(a: Reading, b: Reading): boolean {
  if (a.ok && b.ok) return sameValue(a.value, b.value);
  return !a.ok && !b.ok && a.error.code === b.error.code;
}

function sameValue(a: RawValue, b: RawValue): boolean {
  return a === b;
}
