import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { type Finished, root, runToEnd } from '../../support/agent-process.ts';
import { until } from '../../support/wait.ts';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Makes the root that machines are started from; takes a minute the first time. */
export function setUpMachines(): void {
  execFileSync(join(root, 'scripts/machine/setup'), { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** A machine of its own, with a real systemd: scripts/machine/run. */
export class Machine {
  readonly #child: ChildProcess;
  readonly #init: string;

  private constructor(child: ChildProcess, init: string) {
    this.#child = child;
    this.#init = init;
  }

  /** Starts it with copies of folders of this host, and waits until it is up. */
  static async start(copies: Readonly<Record<string, string>>): Promise<Machine> {
    const args = Object.entries(copies).flatMap(([from, to]) => ['-o', `${from}:${to}`]);
    const child = spawn(join(root, 'scripts/machine/run'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [said, wrong] = ['', ''];
    child.stdout.on('data', (data) => {
      said += data;
    });
    child.stderr.on('data', (data) => {
      wrong += data;
    });
    const started = () => {
      if (child.exitCode !== null) throw new Error(`scripts/machine/run ended with ${child.exitCode}: ${wrong}`);
      return /^(\d+)\n/.exec(said)?.[1];
    };
    const machine = new Machine(child, await until('a machine', started, 60_000));
    const up = async () => (await machine.run('systemctl', 'is-active', 'multi-user.target')).code === 0;
    await until('systemd in the machine', up, 60_000);
    return machine;
  }

  /** Runs a program there, as root. */
  run(program: string, ...args: readonly string[]): Promise<Finished> {
    const env = ['env', '-i', `PATH=${PATH}`, 'HOME=/root', 'TERM=dumb'];
    return runToEnd('nsenter', ['--all', '--target', this.#init, ...env, program, ...args]);
  }

  /** Runs lines of a shell there, and returns what they print; rejects when they fail. */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run('/bin/sh', '-ec', script);
    if (code !== 0) throw new Error(`${script}\nended with ${code}: ${stderr}${stdout}`);
    return stdout.trimEnd();
  }

  /** A property of the service dcs-io, as systemd knows it. */
  async service(property: string): Promise<string> {
    return this.sh(`systemctl show -P ${property} dcs-io.service`);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    await new Promise((resolve) => this.#child.once('exit', resolve));
  }
}
