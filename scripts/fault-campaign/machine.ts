import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Line, Program, within } from './process.ts';

/** A machine of its own for the network: a network namespace that lives as long as a process holds it. */
export class Machine {
  readonly #project: string;
  readonly #folder: string;
  readonly #holder: Program;

  /** `folder` is the working directory of its programs. */
  constructor(project: string, folder: string) {
    this.#project = project;
    this.#folder = folder;
    this.#holder = new Program(['unshare', '-n', 'sleep', 'infinity'], {});
  }

  /** Resolves when the namespace exists, with loopback. */
  async open(): Promise<void> {
    const here = networkOf('self');
    await within(5000, () => networkOf(this.#pid) !== here);
    this.inside('ip', 'link', 'set', 'lo', 'up');
  }

  /** Joins two machines by a cable; addresses like 10.1.1.1. */
  cable(name: string, own: string, other: Machine, theirs: string): void {
    run('ip', 'link', 'add', name, 'netns', this.#pid, 'type', 'veth', 'peer', 'name', name, 'netns', other.#pid);
    for (const [machine, address] of [
      [this, own],
      [other, theirs],
    ] as const) {
      machine.inside('ip', 'addr', 'add', `${address}/24`, 'dev', name);
      machine.inside('ip', 'link', 'set', name, 'up');
    }
  }

  /** Runs a program to its end. */
  inside(...command: string[]): string {
    return execFileSync('nsenter', [this.#enter, ...command], { encoding: 'utf8', cwd: this.#folder });
  }

  /** Starts a program of Node: `dcs-io` with these arguments, or another file. */
  start(args: readonly string[], env: NodeJS.ProcessEnv = {}, take?: (line: Line) => void, file?: string): Program {
    const main = file ?? join(this.#project, 'dist/src/cli/main.js');
    const all = { ...process.env, RUNTIME_DIRECTORY: join(this.#folder, 'run'), ...env };
    return new Program(
      ['nsenter', this.#enter, process.execPath, main, ...args],
      { cwd: this.#folder, env: all },
      take,
    );
  }

  async close(): Promise<void> {
    await this.#holder.end('SIGKILL', 5000);
  }

  get #pid(): string {
    return String(this.#holder.child.pid);
  }

  get #enter(): string {
    return `--net=/proc/${this.#pid}/ns/net`;
  }
}

export function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}

function networkOf(pid: string): string {
  return execFileSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' });
}
