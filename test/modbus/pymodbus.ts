import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Table } from '../../drivers/modbus/protocol/request.ts';

const SCRIPT = fileURLToPath(new URL('./pymodbus-server.py', import.meta.url));

export type Way = 'tcp' | 'tcp-rtu' | 'udp' | 'rtu' | 'ascii';

/** The judge: pymodbus, a Modbus server that shares no code with ours. Debian's python3-pymodbus. */
export class Pymodbus {
  port = 0;
  readonly #way: Way;
  readonly #device: string;
  #child: ChildProcess | undefined;
  #lines: string[] = [];
  #waiting: ((line: string) => void)[] = [];

  /** `device`: the serial line it is on, for rtu and ascii. */
  constructor(way: Way = 'tcp', device = '') {
    this.#way = way;
    this.#device = device;
  }

  /** Starts it on its port (a free one the first time). */
  async start(): Promise<void> {
    const child = spawn('/usr/bin/python3', [SCRIPT, this.#way, this.#device || String(this.port)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child = child;
    let rest = '';
    child.stdin.on('error', () => undefined);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const waiting = this.#waiting.shift();
        if (waiting) waiting(line);
        else this.#lines.push(line);
      }
    });
    this.port = Number((await this.#line()).split(' ')[1]);
  }

  async set(table: Table, address: number, ...values: number[]): Promise<void> {
    this.#child?.stdin?.write(`set ${table} ${address} ${values.join(' ')}\n`);
    await this.#line();
  }

  async get(table: Table, address: number, count = 1): Promise<number[]> {
    this.#child?.stdin?.write(`get ${table} ${address} ${count}\n`);
    return (await this.#line()).split(' ').map(Number);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    this.#lines = [];
  }

  /** Stops it from running without ending it: connections stay open and nothing answers. */
  freeze(frozen: boolean): void {
    this.#child?.kill(frozen ? 'SIGSTOP' : 'SIGCONT');
  }

  #line(): Promise<string> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
