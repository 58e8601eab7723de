import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../support/wait.ts';

/** A null-modem cable: two ptys that socat ties together, or one pty and a TCP port. */
export class PtyPair {
  readonly master: string;
  readonly slave: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'dcs-io-modbus-'));
  #socat: ChildProcess | undefined;

  constructor() {
    this.master = join(this.#folder, 'master');
    this.slave = join(this.#folder, 'slave');
  }

  /** `to`: the TCP port of 127.0.0.1 that takes the place of the slave's end. */
  async plug(to?: number): Promise<void> {
    const far = to === undefined ? `pty,raw,echo=0,link=${this.slave}` : `tcp:127.0.0.1:${to},nodelay`;
    this.#socat = spawn('socat', [`pty,raw,echo=0,link=${this.master}`, far], { stdio: 'inherit' });
    await until('the ptys', () => existsSync(this.master) && (to !== undefined || existsSync(this.slave)));
  }

  /** Both ends hang up. */
  async unplug(): Promise<void> {
    const socat = this.#socat;
    this.#socat = undefined;
    if (!socat) return;
    const gone = new Promise((resolve) => socat.once('exit', resolve));
    socat.kill('SIGKILL');
    await gone;
    rmSync(this.master, { force: true });
    rmSync(this.slave, { force: true });
  }

  async remove(): Promise<void> {
    await this.unplug();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
