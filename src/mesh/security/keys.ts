import { createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman, timingSafeEqual } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DcsError, systemCode } from '../../errors/errors.ts';
import { namePattern } from '../../message/name-pattern.ts';
import { type KeyPair, loadZmq } from '../transport/socket-factory.ts';

/** The rights of a key. */
export interface Grant {
  readonly name: string;
  readonly key: string;
  /** Pins whose reports its owner gets; `*` stands for any text. */
  readonly read: readonly string[];
  /** Pins that its owner may command. */
  readonly write: readonly string[];
  /** Its owner may pass on messages of other processes. */
  readonly relay: boolean;
}

const OWN = 'node.key';
const ALLOWED = 'allowed';
const KEY = /^[0-9A-Za-z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** Makes this node's key pair in `folder`, with mode 0600. Rejects when there is one already. */
export async function newKeys(folder: string): Promise<{ readonly publicKey: string }> {
  const file = join(folder, OWN);
  if (existsSync(file)) {
    throw new DcsError('BAD_CONFIG', `${file} exists; the nodes that allow this key would no longer accept this one`, {
      found: file,
      expected: 'a folder without a key (remove the file if you mean it)',
    });
  }
  const { curveKeyPair } = await loadZmq();
  let pair = curveKeyPair();
  // The command line would read a key that begins with a dash as an option.
  while (pair.publicKey.startsWith('-')) pair = curveKeyPair();
  const { publicKey, secretKey } = pair;
  mkdirSync(join(folder, ALLOWED), { recursive: true, mode: 0o700 });
  writeFileSync(file, `public: ${publicKey}\nsecret: ${secretKey}\n`, { mode: 0o600, flag: 'wx' });
  chmodSync(file, 0o600);
  giveToOwner(folder, join(folder, ALLOWED), file);
  return { publicKey };
}

/** Reads this node's key pair. Throws when it is missing, malformed, or readable by others. */
export function loadKeys(folder: string): KeyPair {
  const file = join(folder, OWN);
  const text = readText(file);
  if (text === undefined) {
    throw new DcsError('BAD_CONFIG', `there is no key in ${folder}; make one with 'dcs-io keys new'`, { found: file });
  }
  const mode = statSync(file).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new DcsError('BAD_CONFIG', `${file} can be read by others, so the key is not secret`, {
      found: `mode 0${mode.toString(8)}`,
      expected: `mode 0600: chmod 600 ${file}`,
    });
  }
  const fields = readFields(text);
  const [publicKey = '', secretKey = ''] = [fields['public'], fields['secret']];
  if (!KEY.test(publicKey) || !KEY.test(secretKey)) throw new DcsError('BAD_CONFIG', `${file} is not a key`);
  return { publicKey, secretKey };
}

/** Returns this node's public key, which other nodes must allow. */
export function showKey(folder: string): string {
  return loadKeys(folder).publicKey;
}

/** Allows a public key to connect to this node. Replaces the key that this name had. */
export function allow(folder: string, name: string, key: string, rights: Partial<Grant> = {}): void {
  if (!NAME.test(name))
    throw new DcsError('BAD_VALUE', `'${name}' cannot be a name`, { expected: 'letters, digits, _ . -' });
  if (!KEY.test(key))
    throw new DcsError('BAD_VALUE', `'${key}' is not a public key`, { expected: '40 characters of Z85' });
  const { read = ['*'], write = ['*'], relay = false } = rights;
  mkdirSync(join(folder, ALLOWED), { recursive: true, mode: 0o700 });
  const file = join(folder, ALLOWED, name);
  const text = `key: ${key}\nread: ${read.join(' ')}\nwrite: ${write.join(' ')}\nrelay: ${relay ? 'yes' : 'no'}\n`;
  // Renaming shows a reader the old file or the new one, never half of one.
  writeFileSync(`${file}~`, text, { mode: 0o600 });
  giveToOwner(folder, join(folder, ALLOWED), `${file}~`);
  renameSync(`${file}~`, file);
}

/** Gives files that root makes to the owner of the folder: the agent as a service has a user of its own. */
function giveToOwner(folder: string, ...paths: readonly string[]): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(folder);
  for (const path of paths) lchownSync(path, uid, gid);
}

/** Withdraws a key. A running node ends its sessions within 1 s. Throws when no key has that name. */
export function revoke(folder: string, name: string): void {
  const file = join(folder, ALLOWED, name);
  if (!NAME.test(name) || !existsSync(file))
    throw new DcsError('BAD_VALUE', `no key is allowed under the name '${name}'`);
  rmSync(file);
}

/** Lists the allowed keys. An entry that is malformed or cannot be read allows no key, and its name is in `broken`. */
export function listAllowed(folder: string): { readonly grants: readonly Grant[]; readonly broken: readonly string[] } {
  const grants: Grant[] = [];
  const broken: string[] = [];
  for (const name of namesIn(join(folder, ALLOWED))) {
    const fields = readFields(readEntry(join(folder, ALLOWED, name)));
    const key = fields['key'] ?? '';
    if (!KEY.test(key)) broken.push(name);
    else {
      const [read, write] = [words(fields['read']), words(fields['write'])];
      grants.push({ name, key, read, write, relay: fields['relay'] === 'yes' });
    }
  }
  return { grants, broken };
}

/** True when a pin's name fits one of the patterns. */
export function fits(pin: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => namePattern(pattern)(pin));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => NAME.test(name))
      .sort();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Reads one entry. An unreadable one, or a folder, reads as empty and does not harm the others. */
function readEntry(file: string): string {
  try {
    return readText(file) ?? '';
  } catch {
    return '';
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw new DcsError('BAD_CONFIG', `${file} cannot be read`, { cause: error });
  }
}

/** Parses lines of the form `name: value`. */
function readFields(text: string): Readonly<Record<string, string>> {
  const lines = text.split('\n').map((line) => /^([a-z]+):\s*(.*?)\s*$/.exec(line));
  return Object.fromEntries(lines.flatMap((found) => (found?.[1] === undefined ? [] : [[found[1], found[2] ?? '']])));
}

function words(text: string | undefined): readonly string[] {
  return text === undefined || text === '' ? [] : text.split(/\s+/);
}

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';

/** Decodes Z85, the text form of ZeroMQ's keys (ZeroMQ RFC 32): 5 characters are 4 bytes. */
export function decodeZ85(text: string): Buffer {
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let at = 0; at < text.length; at += 5) {
    let value = 0;
    for (const character of text.slice(at, at + 5)) value = value * 85 + ALPHABET.indexOf(character);
    bytes.writeUInt32BE(value >>> 0, (at / 5) * 4);
  }
  return bytes;
}

/** Encodes bytes as Z85; their number must be a multiple of 4. */
export function encodeZ85(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    let value = bytes.readUInt32BE(at);
    let five = '';
    for (let digit = 0; digit < 5; digit++) {
      five = (ALPHABET[value % 85] ?? '') + five;
      value = Math.floor(value / 85);
    }
    text += five;
  }
  return text;
}

/**
 * A proof that we hold our secret key, for the owner of `theirs` and this one conversation: an HMAC under the secret the
 * two keys share. ZeroMQ tells which keys may connect, but not which connection belongs to which key.
 */
export function keyProof(own: KeyPair, theirs: string, conversation: string): string {
  const shared = diffieHellman({
    privateKey: createPrivateKey({
      key: { kty: 'OKP', crv: 'X25519', d: toBase64url(own.secretKey), x: toBase64url(own.publicKey) },
      format: 'jwk',
    }),
    publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: toBase64url(theirs) }, format: 'jwk' }),
  });
  const key = createHash('sha256').update(shared).update('dcs-io link').digest();
  return createHmac('sha256', key).update(conversation).digest('hex');
}

/** Compares two proofs in constant time. */
export function equalProofs(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function toBase64url(key: string): string {
  return decodeZ85(key).toString('base64url');
}
