import { createDecipheriv } from 'node:crypto';
import { DcsError } from '../../../src/errors/errors.ts';
import { CIPHERED_TAG, lengthAt } from './links.ts';

/** Bits of the security control byte: the text is encrypted, and it has an authentication tag. */
const ENCRYPTED = 0x20;
const AUTHENTICATED = 0x10;
const TAG_BYTES = 12;
/** Security suites with AES-128 in Galois/Counter mode. */
const SUITES: readonly number[] = [0, 1];

/** The keys of a meter, as its grid operator gives them to the customer. */
export interface MeterKeys {
  /** Global unicast encryption key (GUEK). */
  readonly encryption: Buffer;
  /** Global authentication key (GAK). */
  readonly authentication: Buffer;
}

export interface Deciphered {
  readonly text: Buffer;
  /** A tag has proved that no bit is changed. */
  readonly authenticated: boolean;
}

/**
 * Decrypts a general-glo-ciphering APDU (DLMS Green Book 9.2.7, AES-128-GCM). Throws BAD_REPLY when it is damaged or the keys are
 * wrong. The error names no key.
 */
export function decipher(apdu: Buffer, { encryption, authentication }: MeterKeys): Deciphered {
  const title = apdu.subarray(2, 10);
  const content = lengthAt(apdu, 10);
  if (apdu[0] !== CIPHERED_TAG || apdu[1] !== 8 || !content || content.from + content.length !== apdu.length) {
    throw new DcsError('BAD_REPLY', 'the meter sent no general-glo-ciphering APDU', {
      found: apdu.subarray(0, 12).toString('hex'),
    });
  }
  const security = apdu[content.from] ?? 0;
  const authenticated = (security & AUTHENTICATED) !== 0;
  if ((security & ENCRYPTED) === 0 || !SUITES.includes(security & 0x0f) || security >= 0x40) {
    throw new DcsError('BAD_REPLY', 'this kind of encryption is not supported', {
      found: `security control 0x${security.toString(16).padStart(2, '0')}`,
      expected: '0x20 or 0x30: AES-128-GCM with the global unicast key',
    });
  }
  const body = apdu.subarray(content.from + 5, authenticated ? -TAG_BYTES : undefined);
  const nonce = Buffer.concat([title, apdu.subarray(content.from + 1, content.from + 5)]);
  const cipher = createDecipheriv('aes-128-gcm', encryption, nonce, { authTagLength: TAG_BYTES });
  // Without a tag, the reader of the text has to find out whether the key is right.
  if (!authenticated) return { text: cipher.update(body), authenticated };
  cipher.setAAD(Buffer.concat([Buffer.of(security), authentication]));
  cipher.setAuthTag(apdu.subarray(-TAG_BYTES));
  const text = cipher.update(body);
  try {
    cipher.final();
  } catch (cause) {
    throw new DcsError('BAD_REPLY', 'the telegram is damaged, or key or authentication_key is wrong', {
      expected: 'the keys that the grid operator gives for this meter',
      cause,
    });
  }
  return { text, authenticated };
}
