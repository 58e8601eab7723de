import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import type { Log } from '../../driver/driver.ts';
import { DcsError, messageOf, systemCode } from '../../errors/errors.ts';

/** How often the files are looked at. A watch of the kernel's would miss a renewal that moves a link in the path. */
const LOOK_MS: DurationMs = 2000;

/** What a TLS server needs. */
export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The certificate (PEM, with its chain) and the private key of the web server, and what is put in their place. */
export class TlsFiles {
  readonly #files: { readonly cert: string; readonly key: string };
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;
  /** How the files looked when they were last read, and when they were last looked at. */
  #loaded = '';
  #seen = '';
  #stopped = false;

  constructor(files: { readonly cert: string; readonly key: string }, clock: Clock, log: Log) {
    this.#files = files;
    this.#clock = clock;
    this.#log = log;
  }

  /** Reads both. Rejects with BAD_CONFIG, which names the file and what is wrong with it. */
  async load(): Promise<TlsPair> {
    const { cert: certFile, key: keyFile } = this.#files;
    this.#loaded = await this.#look();
    const [cert, key] = [await readable(certFile), await readable(keyFile)];
    const certificate = parse(certFile, 'a certificate in PEM form', () => new X509Certificate(cert));
    const secret = parse(keyFile, 'a private key in PEM form, without a passphrase', () => createPrivateKey(key));
    checkPair(certificate, secret, certFile, keyFile);
    const { validTo, subject } = certificate;
    if (Date.parse(validTo) < this.#clock.unix() * 1000) {
      this.#log.warn(
        { file: certFile, validTo },
        `web: ${certFile} has expired on ${validTo}: browsers will warn of it`,
      );
    } else this.#log.info({ subject, validTo }, `web: the certificate is valid until ${validTo}`);
    return { cert, key };
  }

  /** Calls `use` with what has been put in their place. What cannot be used is said once, and leaves what there was. */
  watch(use: (pair: TlsPair) => void): void {
    this.#timer = this.#clock.after(LOOK_MS, () => void this.#again(use));
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #again(use: (pair: TlsPair) => void): Promise<void> {
    const before = this.#seen;
    this.#seen = await this.#look();
    // Two files are not replaced at once: they are read when they have stood still.
    if (this.#seen !== this.#loaded && this.#seen === before) {
      try {
        const pair = await this.load();
        if (!this.#stopped) use(pair);
      } catch (error) {
        this.#log.error({ err: error }, `web: the certificate there was stays in use: ${messageOf(error)}`);
      }
    }
    if (!this.#stopped) this.watch(use);
  }

  /** Tells one state of the files from another. Never rejects. */
  async #look(): Promise<string> {
    const looks = await Promise.all(
      [this.#files.cert, this.#files.key].map(async (file) => {
        try {
          const { ino, size, mtimeMs } = await stat(file);
          return `${ino} ${size} ${mtimeMs}`;
        } catch (error) {
          return String(systemCode(error));
        }
      }),
    );
    return looks.join(' / ');
  }
}

async function readable(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new DcsError('BAD_CONFIG', `${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function parse<T>(file: string, expected: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new DcsError('BAD_CONFIG', `${file} holds no usable key material: expected ${expected}`, {
      expected,
      cause: error,
    });
  }
}

function checkPair(certificate: X509Certificate, key: KeyObject, certFile: string, keyFile: string): void {
  if (certificate.checkPrivateKey(key)) return;
  throw new DcsError('BAD_CONFIG', `${keyFile} is not the key of the certificate in ${certFile}`);
}
