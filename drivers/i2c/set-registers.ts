import type { Init } from './address.ts';
import type { ChipAccess } from './bus.ts';

/**
 * Sets registers as the pins of a chip want them: each register once, in the order in which it is first named. Bits
 * nobody names stay as they are.
 */
export async function setRegisters(access: ChipAccess, wanted: readonly Init[]): Promise<void> {
  const registers = new Map<number, { value: number; mask: number }>();
  for (const { register, value, mask } of wanted) {
    const before = registers.get(register) ?? { value: 0, mask: 0 };
    registers.set(register, { value: (before.value & ~mask) | (value & mask), mask: before.mask | mask });
  }
  for (const [register, { value, mask }] of registers) {
    const kept = mask === 0xff ? 0 : (await access.read(register, 1)).readUInt8() & ~mask;
    await access.write(register, [kept | value]);
  }
}
