import { randomFillSync } from 'node:crypto';

/** The alphabet of aktos-dcs v1 ids: base 57, without characters that look alike. */
const ALPHABET = '23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/**
 * A new random id of `length` characters. v1 uses 5 (57⁵ ≈ 6·10⁸); a node's boot id, which must never repeat, takes more.
 * Bytes that would favour the first characters are thrown away, so every character is equally likely.
 */
export function newId(length = 5): string {
  const limit = 256 - (256 % ALPHABET.length);
  const bytes = new Uint8Array(length * 2);
  let id = '';
  while (id.length < length) {
    randomFillSync(bytes);
    for (const byte of bytes) {
      if (byte < limit && id.length < length) id += ALPHABET[byte % ALPHABET.length];
    }
  }
  return id;
}
