import { createHash, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

/** scrypt cost: 16 MiB and some 0.1 s on a PC, 0.5 s on a Raspberry Pi 3. As strong as 128 MiB with p = 1. */
const COST = { ln: 14, r: 8, p: 5 } as const;
/** Highest cost that a hash in the configuration may have. */
const MAX_LN = 17;
const KEY_BYTES = 32;
const HASH_FORMAT = /^scrypt:(\d{1,2}):(\d{1,2}):(\d{1,2}):([\w-]{22,}):([\w-]{43})$/;

/** Returns the hash of a password for the configuration: `scrypt:<log2 N>:<r>:<p>:<salt>:<key>`, salt and key in base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await deriveKey(password, salt, COST.ln, COST.r, COST.p);
  return `scrypt:${COST.ln}:${COST.r}:${COST.p}:${salt.toString('base64url')}:${key.toString('base64url')}`;
}

/** Returns whether the password has this hash; `false` also for an invalid hash. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const [, ln = '', r = '', p = '', salt = '', key = ''] = HASH_FORMAT.exec(hash) ?? [];
  if (key === '' || Number(ln) > MAX_LN || Number(r) > 16 || Number(p) > 16) return false;
  const expected = Buffer.from(key, 'base64url');
  const found = await deriveKey(password, Buffer.from(salt, 'base64url'), Number(ln), Number(r), Number(p));
  return expected.length === found.length && timingSafeEqual(expected, found);
}

/** A hash that no password has. It is checked for an unknown name, so that the response takes as long. */
export const DUMMY_HASH = `scrypt:${COST.ln}:${COST.r}:${COST.p}:${'A'.repeat(22)}:${'A'.repeat(43)}`;

/** Returns a new random token and its hash for the configuration. 256 random bits need no slow hash. */
export function newToken(): { token: string; hash: string } {
  const token = randomBytes(32).toString('base64url');
  return { token, hash: tokenHash(token) };
}

export function tokenHash(token: string): string {
  return `sha256:${createHash('sha256').update(token).digest('hex')}`;
}

/** Compares two texts in constant time. */
export function constantTimeEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function deriveKey(password: string, salt: Buffer, ln: number, r: number, p: number): Promise<Buffer> {
  const N = 2 ** ln;
  const options: ScryptOptions = { N, r, p, maxmem: 128 * N * r + 128 * r * p + (1 << 20) };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, KEY_BYTES, options, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}
