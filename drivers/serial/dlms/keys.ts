import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { DcsError, messageOf } from '../../../src/errors/errors.ts';
import type { MeterKeys } from './ciphering.ts';

/** The authentication key that all meters of Luxembourg share (Creos, P1 port specification 1.1.3, 3.2.5). */
const SHARED_AUTHENTICATION_KEY = '00112233445566778899AABBCCDDEEFF';
const HEX_KEY = /^\s*(?:[0-9A-Fa-f]{2}[\s:-]?){16}\s*$/;

/** A key: its digits, or the file that holds them. YAML takes a key of decimal digits for a number, which is refused later. */
export const keySchema = z
  .union([
    z.string(),
    z.number(),
    z.strictObject({ file: z.string().min(1).describe('the file that holds the digits') }),
  ])
  .meta({ writeOnly: true });
export type KeySource = z.output<typeof keySchema>;

/** The problem of a key, without the key in it. `undefined` when it has none. */
export function keyProblem(source: KeySource): string | undefined {
  if (typeof source === 'number') return 'a key of digits is a number to YAML: write it in quotes';
  if (typeof source === 'object' && HEX_KEY.test(source.file))
    return 'digits stand in the key itself; file names a file';
  if (typeof source === 'string' && !HEX_KEY.test(source)) return 'a key has 32 hexadecimal digits';
  return undefined;
}

/** Reads the keys; `undefined` without an encryption key. Throws BAD_CONFIG when a file is missing or holds no key. */
export function readKeys(
  encryption: KeySource | undefined,
  authentication: KeySource = SHARED_AUTHENTICATION_KEY,
): MeterKeys | undefined {
  if (encryption === undefined) return undefined;
  return { encryption: readKey(encryption), authentication: readKey(authentication) };
}

function readKey(source: KeySource): Buffer {
  const text = typeof source === 'object' ? readKeyFile(source.file) : String(source);
  return Buffer.from(text.replace(/[\s:-]/g, ''), 'hex');
}

function readKeyFile(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'latin1');
  } catch (cause) {
    throw new DcsError('BAD_CONFIG', `the key cannot be read: ${messageOf(cause)}`, { cause });
  }
  if (HEX_KEY.test(text)) return text;
  throw new DcsError('BAD_CONFIG', `${file} holds no key`, { expected: '32 hexadecimal digits' });
}
