import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { until } from '../support/wait.ts';

/** A serial device on a real pty, worked by socat: `path` is what a port opens, the rest is the device's side. */
export class Device {
  readonly path: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'dcs-io-serial-'));
  #socat: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #received = Buffer.alloc(0);

  constructor() {
    this.path = join(this.#folder, 'tty');
  }

  async plug(): Promise<void> {
    const socat = spawn('socat', ['-b', '65536', '-', `pty,raw,echo=0,link=${this.path}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    socat.stdout.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
    });
    // Killed with bytes still in the pipe.
    socat.stdin.on('error', () => undefined);
    this.#socat = socat;
    await until('the pty', () => existsSync(this.path));
  }

  /** Tears the device out: its tty hangs up and its file goes. */
  async unplug(): Promise<void> {
    const socat = this.#socat;
    this.#socat = undefined;
    if (!socat) return;
    const gone = new Promise((resolve) => socat.once('exit', resolve));
    socat.kill('SIGKILL');
    await gone;
    rmSync(this.path, { force: true });
  }

  /** The device sends. */
  say(bytes: string | Uint8Array): void {
    this.#socat?.stdin.write(bytes);
  }

  /** Everything the device has got since it was made. */
  get received(): Buffer {
    return this.#received;
  }

  forget(): void {
    this.#received = Buffer.alloc(0);
  }

  async remove(): Promise<void> {
    await this.unplug();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
