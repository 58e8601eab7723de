import type { Channel, Reading } from '../../src/driver/contract.ts';
import type { PolledItem } from '../../src/driver/kit/poller.ts';
import type { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { type ModbusAddress, readSpanOf, registerFormat } from './address.ts';
import type { RegisterFormat } from './formats/format.ts';
import { piecesOf } from './pieces.ts';
import { isPermanent } from './protocol/exception.ts';
import { bitAt, type Piece, type ReadRequest, registerBytes, type TableSpan } from './protocol/request.ts';
import type { WriteKeys, WrittenOutput } from './write-functions.ts';

/** A channel of a bus: how to read it, and its last known reading. */
export class PolledChannel implements PolledItem<TableSpan, Buffer> {
  readonly channel: Channel<ModbusAddress>;
  readonly periodMs: number;
  /** `undefined` for coils and discrete inputs. */
  readonly format: RegisterFormat | undefined;
  /** The runs of its registers where they are not neighbours, counted from the first; see piecesOf. */
  readonly #pieces: readonly Piece[] | undefined;
  readonly #registerBytes: number;
  /** Line settings of its unit where they are its own; channels with equal settings are best read in one go. */
  readonly lineKey: string;
  /** The device has refused to let it be read; it may still be written. */
  writeOnly = false;
  /** Its registers are too far apart for one request. */
  readAlone = false;
  /** Number of commands under way. */
  pendingCommands = 0;
  /** Number of the latest write; an older write that waits for a busy device is obsolete. */
  lastWrite = 0;
  /** The output, to choose the functions that it is written with. */
  readonly written: WrittenOutput;
  readonly #changed: (reading: Reading) => void;
  /** Registers that are read along before the value itself. */
  readonly #leadingRegisters: number;
  #span: TableSpan;
  #located: boolean;
  #last: Reading | undefined;

  constructor(
    channel: Channel<ModbusAddress>,
    defaults: { readonly unit: number; readonly poll: number; readonly write?: WriteKeys | undefined },
    changed: (reading: Reading) => void = () => undefined,
  ) {
    this.channel = channel;
    this.#changed = changed;
    this.#span = readSpanOf(channel.address, defaults);
    this.#located = channel.address.model === undefined;
    this.#leadingRegisters = channel.address.first - this.#span.first;
    this.periodMs = channel.address.pollMs ?? defaults.poll;
    this.format = registerFormat(channel.address);
    this.written = {
      unit: this.#span.unit,
      key: channel.key,
      keys: { ...defaults.write, ...channel.address.write },
    };
    this.#pieces = piecesOf(channel.address);
    this.#registerBytes = registerBytes(channel.address);
    this.lineKey = JSON.stringify(channel.address.quirks?.line ?? '');
  }

  get span(): TableSpan {
    return this.#span;
  }

  /** Whether its address on the wire is known: that of a SunSpec point is unknown until its model has been found. */
  get located(): boolean {
    return this.#located;
  }

  /** Registers of 4 bytes and of 2 are not read in one request. */
  get readWith(): string | undefined {
    return this.readAlone ? this.channel.key : this.#registerBytes === 2 ? undefined : String(this.#registerBytes);
  }

  /** Its pieces, where they are; see ReadRequest. */
  get pieces(): readonly Piece[] | undefined {
    return this.#pieces?.map((piece) => ({ ...piece, first: piece.first + this.#span.first }));
  }

  /** The request that reads it alone. */
  get readRequest(): ReadRequest {
    const { pieces } = this;
    return { kind: 'read', ...this.#span, ...(pieces && { pieces }) };
  }

  get neverRead(): boolean {
    return this.#last === undefined;
  }

  get last(): Reading | undefined {
    return this.#last;
  }

  /** Its SunSpec model begins at address `base`. */
  locate(base: number): void {
    if (this.#located) return;
    this.#located = true;
    this.#span = { ...this.#span, first: this.#span.first + base };
  }

  /** The value in a reply that begins `offset` registers or bits before it. */
  decode(data: Buffer, offset: number): Reading {
    return this.format
      ? this.format.decode(data, this.#registerBytes * (offset + this.#leadingRegisters))
      : { ok: true, value: bitAt(data, offset) };
  }

  /** The value in registers or bits that hold nothing else. */
  decodeExact(data: Buffer): Reading {
    return this.format ? this.format.decode(data, 0) : { ok: true, value: bitAt(data, 0) };
  }

  /** The value that a device shows after it has taken `value`; `undefined` when no value can be shown. */
  shownValue(value: RawValue): RawValue | undefined {
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

  /** Tells a reading that differs from the last known one. */
  report(reading: Reading): void {
    if (this.#last && sameReading(this.#last, reading)) return;
    this.#last = reading;
    this.#changed(reading);
  }

  /** A write was answered; `reading` was read back. Only a reading that differs from it is told from now on. */
  noteWritten(reading: Reading | undefined): void {
    if (reading) this.#last = reading.ok ? reading : undefined;
    else this.forgetLast();
  }

  /** The value may have changed unseen: the next reading is told, whatever it is. */
  forgetLast(): void {
    // A register that the device never lets be read is not told to be unreadable after each command.
    if (this.#last && !this.#last.ok && isPermanent(this.#last.error)) return;
    this.#last = undefined;
  }
}

function sameReading(a: Reading, b: Reading): boolean {
  if (a.ok && b.ok) return a.value === b.value;
  return !a.ok && !b.ok && a.error.code === b.error.code;
}
