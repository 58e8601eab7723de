/**
 * How a device lays out the bytes of a value, A being the highest. Of values longer than two registers: CDAB has the
 * registers in reverse, BADC the bytes within each register, DCBA both.
 */
export const byteOrders = ['ABCD', 'CDAB', 'BADC', 'DCBA'] as const;
export type ByteOrder = (typeof byteOrders)[number];

/**
 * Copies `words` registers from `from` at byte `at` into the highest-byte-first order, or back: every order is its own
 * inverse.
 */
export function reorder(from: Buffer, at: number, words: number, order: ByteOrder): Buffer {
  const out = Buffer.allocUnsafe(2 * words);
  const reverseWords = order === 'CDAB' || order === 'DCBA';
  const swapBytes = order === 'BADC' || order === 'DCBA';
  for (let word = 0; word < words; word++) {
    const source = at + 2 * (reverseWords ? words - 1 - word : word);
    out[2 * word] = from[source + (swapBytes ? 1 : 0)] ?? 0;
    out[2 * word + 1] = from[source + (swapBytes ? 0 : 1)] ?? 0;
  }
  return out;
}
