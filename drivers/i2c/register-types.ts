/** How a number stands in registers. */
export const registerTypes = ['u8', 'i8', 'u16be', 'u16le', 'i16be', 'i16le', 'u24be', 'u32be', 'u32le'] as const;
export type RegisterType = (typeof registerTypes)[number];

/** A place in a chip's registers. */
export interface RegisterPlace {
  readonly register: number | undefined;
  readonly writeRegister: number | undefined;
  readonly type: RegisterType;
  /** The value's lowest bit within the register. */
  readonly shift: number;
  readonly bit: number | undefined;
}

/** Bytes of a type. */
export function sizeOf(type: RegisterType): number {
  return Number(type.replace(/\D/g, '')) / 8;
}
