import type { PinFacts, ServedPins } from '../../../src/driver/contract.ts';
import { DcsError, type ErrorCode } from '../../../src/errors/errors.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import type { RegisterFormat } from '../formats/format.ts';
import type { Table } from '../protocol/request.ts';
import { formatOf } from '../register-format.ts';
import type { EntryKeys, ServerOptions } from './options.ts';
import { DEVICE_FAILURE, ILLEGAL_ADDRESS, ILLEGAL_VALUE, SlaveException, type Store } from './respond.ts';

/** A pin and its addresses in a table. */
export interface MappedPin {
  readonly pin: string;
  readonly first: number;
  readonly count: number;
  /** `undefined` for a single bit. */
  readonly format: RegisterFormat | undefined;
  readonly scale: number;
  readonly offset: number;
  readonly writable: boolean;
}

export type PinMap = Readonly<Record<Table, readonly MappedPin[]>>;

/** The addresses of all pins, in order, and the mistakes of the configuration. */
export function mapPins(
  options: ServerOptions,
  facts: ReadonlyMap<string, PinFacts>,
): { readonly map: PinMap; readonly mistakes: readonly string[] } {
  const mistakes: string[] = [];
  const bits = (table: 'coil' | 'discrete', entries: Readonly<Record<string, string>> = {}) =>
    Object.entries(entries).map(([text, pin]): MappedPin => {
      const fact = facts.get(pin);
      if (fact && fact.kind !== 'digital')
        mistakes.push(`${table} ${text}: ${pin} is ${fact.kind}; a ${table} is one bit`);
      const writable = table === 'coil' && fact?.direction === 'out' && !options.read_only;
      return { pin, first: Number(text), count: 1, format: undefined, scale: 1, offset: 0, writable };
    });
  const words = (table: 'holding' | 'input', entries: Readonly<Record<string, EntryKeys>> = {}) =>
    Object.entries(entries).flatMap(([text, entry]): MappedPin[] => {
      const { pin, scale, offset } = entry;
      const fact = facts.get(pin);
      const format = formatFor(entry, fact);
      if (typeof format === 'string') {
        mistakes.push(`${table} ${text}: ${format}`);
        return [];
      }
      const writable = table === 'holding' && fact?.direction === 'out' && !options.read_only;
      return [{ pin, first: Number(text), count: format.registers, format, scale, offset, writable }];
    });
  const map = {
    coil: sorted(bits('coil', options.coils)),
    discrete: sorted(bits('discrete', options.discrete)),
    holding: sorted(words('holding', options.holding)),
    input: sorted(words('input', options.input)),
  };
  for (const [table, pins] of Object.entries(map)) {
    pins.forEach(({ pin, first, count }, index) => {
      const next = pins[index + 1];
      if (next && next.first < first + count)
        mistakes.push(`${table}: ${pin} and ${next.pin} share address ${next.first}`);
      if (first + count > 0x10000) mistakes.push(`${table} ${first}: ${pin} would end beyond 65535`);
    });
  }
  return { map, mistakes };
}

function sorted(pins: readonly MappedPin[]): MappedPin[] {
  return [...pins].sort((a, b) => a.first - b.first);
}

function formatFor(
  { pin, type, order = 'ABCD', length }: EntryKeys,
  fact: PinFacts | undefined,
): RegisterFormat | string {
  const kind = fact?.kind ?? 'analog';
  const chosen = type ?? (kind === 'digital' ? 'uint16' : kind === 'counter' ? 'uint32' : 'float32');
  const text = chosen === 'string';
  if (chosen === 'bool' || chosen === 'raw' || chosen === 'int8' || chosen === 'uint8')
    return `${pin} cannot be shown as ${chosen}`;
  if (text !== (kind === 'text'))
    return `${pin} is ${kind}: ${kind === 'text' ? 'type: string with its length' : 'not a string'}`;
  if (text && length === undefined) return `${pin}: type string needs its length`;
  return formatOf({ type: chosen, order, length });
}

const BUSY = 6;
/** 'Gateway target device failed to respond': the command was sent and its effect is unknown. */
const NO_ANSWER = 11;

const EXCEPTIONS: Partial<Record<ErrorCode, number>> = {
  BAD_VALUE: ILLEGAL_VALUE,
  OUT_OF_RANGE: ILLEGAL_VALUE,
  BAD_COMMAND: ILLEGAL_VALUE,
  READ_ONLY: ILLEGAL_ADDRESS,
  NO_SUCH_PIN: ILLEGAL_ADDRESS,
  BUSY,
  TIMEOUT: NO_ANSWER,
  BAD_REPLY: NO_ANSWER,
};

/**
 * The agent's pins as the tables of a slave. A pin that is not good is exception 4, never an old value. A block must
 * consist of whole values. A write is a command on the bus and is answered after the pin's answer.
 */
export class PinStore implements Store {
  readonly #map: PinMap;
  readonly #pins: ServedPins;

  constructor(map: PinMap, pins: ServedPins) {
    this.#map = map;
    this.#pins = pins;
  }

  readBits(_unit: number, table: 'coil' | 'discrete', first: number, count: number): boolean[] {
    return this.#pinsIn(table, first, count).map((mapped) => this.#readPin(mapped) === true);
  }

  readRegisters(_unit: number, table: 'holding' | 'input', first: number, count: number): Buffer {
    return Buffer.concat(
      this.#pinsIn(table, first, count).map((mapped) => {
        try {
          return mapped.format?.encode(toRegister(mapped, this.#readPin(mapped))) ?? Buffer.alloc(0);
        } catch (error) {
          // A value that does not fit its registers is refused.
          throw error instanceof SlaveException ? error : new SlaveException(DEVICE_FAILURE);
        }
      }),
    );
  }

  async writeBits(_unit: number, first: number, bits: readonly boolean[]): Promise<void> {
    const pins = this.#writablePins('coil', first, bits.length);
    for (const [index, { pin }] of pins.entries()) await this.#command(pin, bits[index] === true);
  }

  /** Decodes all values before the first command; after that, the first refusal ends the write. */
  async writeRegisters(_unit: number, first: number, data: Buffer): Promise<void> {
    const commands = this.#writablePins('holding', first, data.length / 2).map((mapped) => {
      const reading = mapped.format?.decode(data, 2 * (mapped.first - first));
      if (!reading?.ok) throw new SlaveException(ILLEGAL_VALUE);
      return { pin: mapped.pin, value: fromRegister(mapped, reading.value) };
    });
    for (const { pin, value } of commands) await this.#command(pin, value);
  }

  #readPin({ pin }: MappedPin): RawValue {
    try {
      return this.#pins.read(pin);
    } catch {
      // The reason is on the bus; the wire has only a number.
      throw new SlaveException(DEVICE_FAILURE);
    }
  }

  async #command(pin: string, value: RawValue): Promise<void> {
    try {
      await this.#pins.command(pin, value);
    } catch (error) {
      throw new SlaveException((error instanceof DcsError && EXCEPTIONS[error.code]) || DEVICE_FAILURE);
    }
  }

  #writablePins(table: 'coil' | 'holding', first: number, count: number): MappedPin[] {
    const pins = this.#pinsIn(table, first, count);
    if (pins.some(({ writable }) => !writable)) throw new SlaveException(ILLEGAL_ADDRESS);
    return pins;
  }

  /** The pins that fill a run of addresses exactly: without holes, none cut. */
  #pinsIn(table: keyof PinMap, first: number, count: number): MappedPin[] {
    const pins = this.#map[table].filter(
      (mapped) => mapped.first < first + count && mapped.first + mapped.count > first,
    );
    let next = first;
    for (const mapped of pins) {
      if (mapped.first !== next) throw new SlaveException(ILLEGAL_ADDRESS);
      next += mapped.count;
    }
    if (next !== first + count) throw new SlaveException(ILLEGAL_ADDRESS);
    return pins;
  }
}

function toRegister({ scale, offset }: MappedPin, value: RawValue): RawValue {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'number' && (scale !== 1 || offset !== 0) ? (value - offset) / scale : value;
}

function fromRegister({ scale, offset }: MappedPin, value: RawValue): RawValue {
  // Products like 3 × 0.1 have digits without meaning.
  return typeof value === 'number' && (scale !== 1 || offset !== 0)
    ? Number((value * scale + offset).toPrecision(12))
    : value;
}
