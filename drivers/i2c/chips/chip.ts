import type { RawValue } from '../../../src/pin/pin.ts';
import type { ChipAccess } from '../bus.ts';

/** A chip whose values take more than reading a register. */
export interface Chip {
  /** Brings the chip into the state its work needs. Called once after opening, and again after it was absent. */
  setUp(): Promise<void>;
  /**
   * Reads all asked values at one go. Resolves later when the chip needs time to convert: the bus is free meanwhile.
   * Rejects with a DcsError; a value that cannot be trusted is a BAD_REPLY.
   */
  read(names: readonly string[]): Promise<ReadonlyMap<string, RawValue>>;
  /**
   * Drives an output; resolves with what the chip then says, where it can be asked. Rejects with BAD_VALUE or
   * OUT_OF_RANGE before anything is sent. Absent: it has none.
   */
  write?(name: string, value: RawValue): Promise<RawValue | undefined>;
  /** Distance of neighbouring output values; see WriteResult. */
  readonly resolution?: number;
}

/** What one of a chip's values is. */
export interface ChipValue {
  readonly kind: 'analog' | 'text';
  readonly direction: 'in' | 'out';
  /** Unit; empty for text and plain numbers. */
  readonly uom: string;
}

/** A kind of chip that has code. */
export interface ChipKind {
  readonly title: string;
  readonly values: Readonly<Record<string, ChipValue>>;
  make(access: ChipAccess): Chip;
}

/** A number the chip measures. */
export function measured(uom: string): ChipValue {
  return { kind: 'analog', direction: 'in', uom };
}

/** A converter that is asked for each value by itself, with all settings, and has nothing to set up. */
export function oneShot(convert: (name: string) => Promise<number>): Chip {
  return {
    setUp: async () => undefined,
    read: async (names) => {
      const values = new Map<string, number>();
      for (const name of names) values.set(name, await convert(name));
      return values;
    },
  };
}
