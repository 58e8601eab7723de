import type { Clock, DurationMs, MonotonicMs } from '../../src/clock/clock.ts';
import type { Channel, Reading } from '../../src/driver/contract.ts';
import type { PolledItem } from '../../src/driver/kit/poller.ts';
import { type AgeLimits, ValueAge } from '../../src/driver/kit/value-age.ts';
import type { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { type AddressDefaults, type ModbusAddress, pollSpanOf, readPlace, registerFormat, spanOf } from './address.ts';
import type { RegisterFormat } from './formats/format.ts';
import { isNoOrder } from './levels.ts';
import { piecesOf } from './pieces.ts';
import { isPermanent } from './protocol/exception.ts';
import { bitAt, isBitTable, type Piece, type ReadRequest, registerBytes, type TableSpan } from './protocol/request.ts';
import { readFormat } from './read-place.ts';
import { powerOfTen } from './register-format.ts';
import { headMistake, type ModelPlace } from './sunspec-chain.ts';
import type { WriteKeys, WrittenOutput } from './write-functions.ts';

/** The place of a point: the model that holds it, and its address counted from there. */
export interface PointPlace {
  readonly place: ModelPlace;
  readonly address: ModbusAddress;
}

/** Knows whether the places of the SunSpec points of a unit may be believed. */
export interface PlaceGuard {
  /** Values read now must not be told. */
  readonly doubted: boolean;
  /** A read has found something else where a model begins. */
  moved(error: DcsError): void;
  /** The device refuses the place of a point. */
  doubt(): void;
}

/** When values of a channel that is polled are too old. */
export type Aging = Omit<AgeLimits, 'periodMs'> & { readonly clock: Clock };

/** A channel of a bus: how to read it, and its last known reading. */
export class PolledChannel implements PolledItem<TableSpan, Buffer> {
  readonly channel: Channel<ModbusAddress>;
  readonly periodMs: number;
  readonly #registerBytes: number;
  /** Line settings of its unit where they are its own; channels with equal settings are best read in one go. */
  readonly lineKey: string;
  /** The device has refused to let it be read, and has not let it be read since; it may still be written. */
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
  readonly #defaults: AddressDefaults;
  #guard: PlaceGuard | undefined;
  #address: ModbusAddress;
  #format: RegisterFormat | undefined;
  /** How it is read. `undefined` for coils and discrete inputs. */
  #readFormat: RegisterFormat | undefined;
  #place: ModelPlace | undefined;
  #span: TableSpan;
  /** The runs of its registers where they are not neighbours; see ReadRequest. */
  #pieces: readonly Piece[] | undefined;
  /** What the register with the power of ten held when it was last read. */
  #power: number | undefined;
  #last: Reading | undefined;
  readonly #aging: { readonly age: ValueAge; readonly clock: Clock } | undefined;

  /** Without `aging` a value never grows too old. */
  constructor(
    channel: Channel<ModbusAddress>,
    defaults: AddressDefaults & { readonly poll: number; readonly write?: WriteKeys | undefined },
    changed: (reading: Reading) => void = () => undefined,
    aging?: Aging,
  ) {
    this.channel = channel;
    this.#changed = changed;
    this.#defaults = defaults;
    this.#address = channel.address;
    this.#format = registerFormat(channel.address);
    this.#readFormat = readFormat(readPlace(channel.address));
    this.#span = pollSpanOf(channel.address, defaults);
    this.#pieces = shifted(piecesOf(channel.address), this.#span.first);
    this.periodMs = channel.address.pollMs ?? defaults.poll;
    this.#aging = aging && {
      age: new ValueAge(channel.key, { ...aging, periodMs: this.periodMs }),
      clock: aging.clock,
    };
    this.written = {
      unit: this.#span.unit,
      key: channel.key,
      keys: { ...defaults.write, ...channel.address.write },
    };
    this.#registerBytes = registerBytes(channel.address);
    this.lineKey = JSON.stringify(channel.address.quirks?.line ?? '');
  }

  /** Of a SunSpec point with several, the one that the device has. */
  get address(): ModbusAddress {
    return this.#address;
  }

  /** How it is written. `undefined` for coils and discrete inputs. */
  get format(): RegisterFormat | undefined {
    return this.#format;
  }

  /** The registers or bits that are read to know the value. */
  get span(): TableSpan {
    return this.#span;
  }

  /** The registers or bits of the value itself, where it is written. */
  get valueSpan(): TableSpan {
    const own = spanOf(this.#address, this.#defaults);
    return { ...own, first: own.first + (this.#place?.at ?? 0) };
  }

  /** Where the device has the model of a SunSpec point; `undefined` while that is unknown. */
  get place(): ModelPlace | undefined {
    return this.#place;
  }

  /** Where a SunSpec point is; `undefined` while that is unknown. */
  get found(): PointPlace | undefined {
    return this.#place && { place: this.#place, address: this.#address };
  }

  /** Its place must be confirmed before it is believed. */
  get doubted(): boolean {
    return this.#guard?.doubted ?? false;
  }

  /** Whether its address on the wire is known: that of a SunSpec point is unknown until its model has been found. */
  get located(): boolean {
    return this.#address.model === undefined || this.#place !== undefined;
  }

  /** Registers of 4 bytes and of 2 are not read in one request. */
  get readWith(): string | undefined {
    return this.readAlone ? this.channel.key : this.#registerBytes === 2 ? undefined : String(this.#registerBytes);
  }

  /** Its pieces, where they are; see ReadRequest. */
  get pieces(): readonly Piece[] | undefined {
    return this.#pieces;
  }

  /** The request that reads it alone. */
  get readRequest(): ReadRequest {
    const { pieces } = this;
    return { kind: 'read', ...this.#span, ...(pieces && { pieces }) };
  }

  /** It has a place where it can be read. */
  get readable(): boolean {
    return this.#address.read !== false;
  }

  /** Time after a write until it shows the new value. */
  get readDelayMs(): DurationMs {
    return readPlace(this.#address).delayMs;
  }

  /** Sending a value twice does the same as sending it once, and the register itself shows whether it has it. */
  get repeatable(): boolean {
    const { read, selfClearing, levels, table } = this.#address;
    return !selfClearing && read === undefined && !(levels && isBitTable(table));
  }

  /** The value is the absence of an order: there is nothing to send. */
  isNoOrder(value: RawValue): boolean {
    return isNoOrder(this.#address, value);
  }

  get neverRead(): boolean {
    return this.#last === undefined;
  }

  get last(): Reading | undefined {
    return this.#last;
  }

  guardWith(guard: PlaceGuard): void {
    this.#guard = guard;
  }

  /** The device has a SunSpec point there; `undefined`: it does not have it. Returns whether that is new. */
  locate(found: PointPlace | undefined): boolean {
    const before = this.#place;
    this.#place = found?.place;
    if (!found) return before !== undefined;
    const { place, address } = found;
    if (before?.at === place.at && before.length === place.length && this.#address === address) return false;
    this.#address = address;
    this.#format = registerFormat(address);
    this.#readFormat = readFormat(readPlace(address));
    this.#power = undefined;
    this.#span = { ...pollSpanOf(address, this.#defaults), first: place.at };
    this.#pieces = shifted(piecesOf(address), place.at);
    return true;
  }

  /** The value in a reply that begins `offset` registers or bits before its span. */
  decode(data: Buffer, offset: number): Reading {
    const format = this.#readFormat;
    if (!format) return { ok: true, value: bitAt(data, offset) };
    const error = this.#place && headMistake(this.#place, data.subarray(2 * offset));
    if (error) {
      this.#guard?.moved(error);
      return { ok: false, error };
    }
    const { first } = readPlace(this.#address);
    const { scaleOffset } = this.#address;
    const at = this.#registerBytes * (offset + first + (this.#place?.at ?? 0) - this.#span.first);
    if (scaleOffset !== undefined) this.notePower(data, at + 2 * scaleOffset);
    return format.decode(data, at);
  }

  /** The register with the power of ten holds what is at byte `at`: values are encoded with it from now on. */
  notePower(data: Buffer, at: number): void {
    this.#power = powerOfTen(this.#address.exponent, data, at);
  }

  /** The format of its registers alone, with the power of ten last read. */
  get exactFormat(): RegisterFormat | undefined {
    if (this.#address.scaleOffset === undefined) return this.#format;
    return registerFormat({ ...this.#address, power: this.#power });
  }

  /** The value in registers or bits that hold nothing else. */
  decodeExact(data: Buffer): Reading {
    return this.exactFormat?.decode(data, 0) ?? { ok: true, value: bitAt(data, 0) };
  }

  /** The value that a device shows after it has taken `value`; `undefined` when no value can be shown. */
  shownValue(value: RawValue): RawValue | undefined {
    const format = this.exactFormat;
    if (!format) return value;
    const shown = format.decode(format.encode(value), 0);
    return shown.ok ? shown.value : undefined;
  }

  /** Takes a poll's reply, unless the place that was read is in doubt. */
  deliver(data: Buffer, offset: number): void {
    this.writeOnly = false;
    if (this.located && !this.doubted) this.report(this.decode(data, offset));
  }

  /** Takes the reply of a read that was demanded. The reading goes to whoever asked, and is told like that of a poll. */
  take(data: Buffer, offset: number): Reading {
    const reading = this.decode(data, offset);
    this.writeOnly = false;
    if (this.doubted) this.forgetLast();
    else if (this.located) this.report(reading);
    return reading;
  }

  fail(error: DcsError): void {
    this.report({ ok: false, error });
    // Its model may have moved.
    if (this.#place && (error.code === 'NO_SUCH_CHANNEL' || error.code === 'DEVICE_REFUSED')) this.#guard?.doubt();
  }

  unanswered(error: DcsError): void {
    // A busy device may be one that is starting.
    if (error.code === 'BUSY') this.#guard?.doubt();
    const age = this.#aging?.age;
    if (age && (age.known || this.#last)) age.miss(error);
    else this.fail(error);
  }

  age(now: MonotonicMs): MonotonicMs | undefined {
    // It is bad already, for a reason that age does not change.
    if (this.#last && !this.#last.ok) return undefined;
    const verdict = this.#aging?.age.verdict(now);
    if (!verdict) return undefined;
    if (verdict.quality === 'bad') {
      this.fail(verdict.error);
      return undefined;
    }
    if (verdict.quality === 'uncertain' && this.#last?.ok) this.report({ ...this.#last, uncertain: verdict.reason });
    return verdict.next;
  }

  /** Tells a reading that differs from the last known one. */
  report(reading: Reading): void {
    if (reading.ok && reading.uncertain === undefined) this.#confirm();
    if (this.#last && sameReading(this.#last, reading)) return;
    this.#last = reading;
    this.#changed(reading);
  }

  /** A write was answered; `reading` was read back. Only a reading that differs from it is told from now on. */
  noteWritten(reading: Reading | undefined): void {
    this.#confirm();
    if (reading) this.#last = reading.ok ? reading : undefined;
    else this.forgetLast();
  }

  #confirm(): void {
    this.#aging?.age.confirm(this.#aging.clock.now());
  }

  /** The value may have changed unseen: the next reading is told, whatever it is. */
  forgetLast(): void {
    // A register that the device does not let be read is not told to be unreadable after each command.
    if (this.#last && !this.#last.ok && isPermanent(this.#last.error)) return;
    this.#last = undefined;
  }
}

function shifted(pieces: readonly Piece[] | undefined, by: number): Piece[] | undefined {
  return pieces?.map(({ first, count }) => ({ first: first + by, count }));
}

function sameReading(a: Reading, b: Reading): boolean {
  if (a.ok && b.ok) return a.value === b.value && (a.uncertain === undefined) === (b.uncertain === undefined);
  return !a.ok && !b.ok && a.error.code === b.error.code;
}
