import { execFileSync } from 'node:child_process';

let labs = 0;

/** A laboratory of machines: network namespaces on one switch, or apart. */
export class Lab {
  readonly #prefix = `m${process.pid.toString(36)}${(labs++).toString(36)}`;
  readonly #namespaces: string[] = [];

  /** A machine with loopback only. */
  machine(name: string): string {
    const namespace = `${this.#prefix}-${name}`;
    run('ip', 'netns', 'add', namespace);
    this.#namespaces.push(namespace);
    run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
    return namespace;
  }

  /** Makes a network: a switch with the machines on it, at the given addresses. */
  network(number: number, members: Readonly<Record<string, string>>): void {
    const hub = this.machine(`hub${number}`);
    run('ip', '-n', hub, 'link', 'add', 'br0', 'type', 'bridge');
    run('ip', '-n', hub, 'link', 'set', 'br0', 'up');
    for (const [at, [namespace, address]] of Object.entries(members).entries()) {
      run('ip', '-n', namespace, 'link', 'add', `e${number}`, 'type', 'veth', 'peer', 'name', `p${at}`, 'netns', hub);
      run('ip', '-n', hub, 'link', 'set', `p${at}`, 'master', 'br0', 'up');
      run('ip', '-n', namespace, 'addr', 'add', `${address}/24`, 'dev', `e${number}`);
      run('ip', '-n', namespace, 'link', 'set', `e${number}`, 'up');
    }
  }

  close(): void {
    for (const namespace of this.#namespaces.splice(0)) run('ip', 'netns', 'del', namespace);
  }
}

/** Runs a command of the system in a namespace. */
export function inside(namespace: string, ...command: string[]): string {
  return run('ip', 'netns', 'exec', namespace, ...command);
}

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
