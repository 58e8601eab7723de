import { createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman, timingSafeEqual } from 'node:crypto';
import type { KeyPair } from './keys.ts';
import { decodeZ85 } from './z85.ts';

/**
 * A proof that we hold our secret key, for the owner of `theirs` and this one conversation: an HMAC under the secret the
 * two keys share. ZeroMQ tells which keys may connect, but not which connection belongs to which key.
 */
export function proof(own: KeyPair, theirs: string, conversation: string): string {
  const shared = diffieHellman({
    privateKey: createPrivateKey({
      key: { kty: 'OKP', crv: 'X25519', d: base64url(own.secretKey), x: base64url(own.publicKey) },
      format: 'jwk',
    }),
    publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: base64url(theirs) }, format: 'jwk' }),
  });
  const key = createHash('sha256').update(shared).update('dcs-io link').digest();
  return createHmac('sha256', key).update(conversation).digest('hex');
}

/** Compares two proofs without telling by its duration where they differ. */
export function sameProof(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function base64url(key: string): string {
  return decodeZ85(key).toString('base64url');
}
