import type { ChipAccess } from '../bus.ts';

/** A chip whose values take more than reading a register. */
export interface Chip {
  /** Brings the chip into the state its reading needs. Called once after opening, and again after it was absent. */
  setUp(): void;
  /**
   * Reads all asked values at one go. Resolves later when the chip needs time to convert: the bus is free meanwhile.
   * Throws a DcsError; a value that cannot be trusted is a BAD_REPLY.
   */
  read(names: readonly string[]): Promise<ReadonlyMap<string, number>>;
}

/** A kind of chip that has code. */
export interface ChipKind {
  readonly title: string;
  /** Values it has, with their units. */
  readonly values: Readonly<Record<string, string>>;
  make(access: ChipAccess): Chip;
}
