import type { RawValue } from '../../../src/pin/pin.ts';
import type { ChipAccess } from '../bus.ts';

/** A chip with code: its values take more than reading a register. */
export interface Chip {
  /** Sets the chip up. Called once after opening, and again after the chip was absent. */
  setUp(): Promise<void>;
  /**
   * Reads all named values together. The bus is free while the chip converts. A value that the chip cannot give now is left out.
   * Rejects with a DcsError: BAD_REPLY when no value can be trusted.
   */
  read(names: readonly string[]): Promise<ReadonlyMap<string, RawValue>>;
  /**
   * Drives an output. Resolves with the value read back, where the chip can be asked. Rejects with BAD_VALUE or OUT_OF_RANGE
   * before anything is sent. `undefined` when the chip has no outputs.
   */
  write?(name: string, value: RawValue): Promise<RawValue | undefined>;
  /** Distance of neighbouring output values; see Port.resolution. */
  readonly resolution?: number;
}

/** One value of a chip. */
export interface ChipValue {
  readonly kind: 'analog' | 'text';
  readonly direction: 'in' | 'out';
  /** Unit; empty for text and plain numbers. */
  readonly uom: string;
}

/** A type of chip with code. */
export interface ChipKind {
  readonly title: string;
  readonly values: Readonly<Record<string, ChipValue>>;
  make(access: ChipAccess): Chip;
}

/** A measured number. */
export function measured(uom: string): ChipValue {
  return { kind: 'analog', direction: 'in', uom };
}

/**
 * A converter that gets its settings with each conversion, so that there is nothing to set up. `convert` resolves with `undefined`
 * when the input is beyond what it can measure.
 */
export function oneShot(convert: (name: string) => Promise<number | undefined>): Chip {
  return {
    setUp: async () => undefined,
    read: async (names) => {
      const values = new Map<string, number>();
      for (const name of names) {
        const value = await convert(name);
        if (value !== undefined) values.set(name, value);
      }
      return values;
    },
  };
}

/** Volts of a 16-bit result; `undefined` at the ends of its range: the input is beyond them. */
export function voltsOf(raw: number, volts: number): number | undefined {
  return raw === 0x7fff || raw === -0x8000 ? undefined : raw * volts;
}
