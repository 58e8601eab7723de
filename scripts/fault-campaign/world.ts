import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Line, now, Program, pause, within } from './process.ts';
import { Record } from './record.ts';

/** Outputs are to be safe this long after the agent's last sign of life. */
export const WITHIN_MS = 3000;
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const START_LIMIT_MS = 60_000;

/**
 * A network namespace with an agent, its hardware (a simulated output in a file, a Modbus device, a serial line on a pty), a
 * second node that commands it, and a small disk for its state. An agent that ends is started anew, as systemd would.
 */
export class World {
  readonly folder: string;
  readonly disk: string;
  readonly record: Record;
  /** Every line of agents, guardians and the controller, in order. */
  readonly news: Line[] = [];
  starts = 0;
  agent: Program | undefined;
  controller: Program | undefined;
  simulator: Program | undefined;
  readonly #project: string;
  readonly #holder: Program;
  #socat: Program | undefined;
  #weights: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(project: string) {
    this.#project = project;
    this.folder = mkdtempSync(join(tmpdir(), 'dcs-io-fault-'));
    this.disk = join(this.folder, 'disk');
    this.record = new Record(join(this.folder, 'hardware.jsonl'));
    mkdirSync(this.disk);
    mkdirSync(join(this.folder, 'run'), { mode: 0o700 });
    run('mount', '-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', this.disk);
    this.#holder = new Program(['unshare', '-n', 'sleep', 'infinity'], {});
  }

  /** Resolves when the agent and its controller run and have met. */
  async open(): Promise<void> {
    const namespace = `/proc/${this.#holder.child.pid}/ns/net`;
    const own = execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' });
    await within(5000, () => execFileSync('readlink', [namespace], { encoding: 'utf8' }) !== own);
    this.inside('ip', 'link', 'set', 'lo', 'up');
    writeFileSync(join(this.folder, 'clock'), '+0');
    for (const name of ['controller.js', 'victim.js']) {
      symlinkSync(join(this.#project, 'scripts/fault-campaign', name), join(this.folder, name));
    }
    this.#configure();
    this.simulator = this.program(['simulate', 'devices.yaml']);
    await this.plug();
    this.#startAgent();
    this.controller = this.program(['run', '--config', 'hall.yaml'], {}, (line) => {
      this.news.push(line);
      this.record.take(line.text);
    });
    if (!(await within(START_LIMIT_MS, () => this.healthySince(0)))) {
      throw new Error(
        `the world did not start; serial device: ${this.#socat?.ended ?? 'runs'}, ${this.#socat?.lines.map(({ text }) => text)}`,
      );
    }
  }

  /** Runs a program in the namespace to its end. */
  inside(...command: string[]): string {
    const enter = `--net=/proc/${this.#holder.child.pid}/ns/net`;
    return execFileSync('nsenter', [enter, ...command], { encoding: 'utf8', cwd: this.folder });
  }

  program(args: readonly string[], env: NodeJS.ProcessEnv = {}, take?: (line: Line) => void): Program {
    const enter = ['nsenter', `--net=/proc/${this.#holder.child.pid}/ns/net`];
    const command = [process.execPath, join(this.#project, 'dist/src/cli/main.js'), ...args];
    const all = { ...process.env, RUNTIME_DIRECTORY: join(this.folder, 'run'), ...env };
    return new Program([...enter, ...command], { cwd: this.folder, env: all }, take);
  }

  /** The serial device is plugged in and weighs. */
  async plug(): Promise<void> {
    const socat = new Program(['socat', '-', `pty,raw,echo=0,link=${join(this.folder, 'tty')}`], {});
    this.#socat = socat;
    this.#weights ??= setInterval(() => this.#socat?.tell('W12.5'), 100);
    await within(5000, () => socat.ended === undefined && existsSync(join(this.folder, 'tty')));
  }

  unplug(): void {
    this.#socat?.signal('SIGKILL');
    rmSync(join(this.folder, 'tty'), { force: true });
  }

  /** When, after `since`, the agent ran, every pin was good and a command sent after it was carried out. */
  healthySince(since: number): number | undefined {
    if (!this.agent?.said(/ is running with /)) return undefined;
    return this.record.healthyAt(since);
  }

  tail(lines: number): string {
    return this.news
      .slice(-lines)
      .map(({ text }) => text.slice(0, 300))
      .join('\n');
  }

  said(pattern: RegExp, since: number): number | undefined {
    return this.news.find(({ at, text }) => at >= since && pattern.test(text))?.at;
  }

  /** Ends the agent with SIGTERM; how long that took, undefined when it did not end. */
  async stopAgent(): Promise<number | undefined> {
    this.#closing = true;
    const begun = now();
    return (await this.agent?.end('SIGTERM', 5000)) ? (this.agent?.ended ?? 0) - begun : undefined;
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#weights);
    for (const program of [this.controller, this.agent, this.simulator, this.#socat, this.#holder]) {
      program?.signal('SIGCONT');
      await program?.end('SIGKILL', 5000);
    }
    // A guardian whose agent was just killed may still be at work in the folder.
    await pause(300);
    run('umount', '-l', this.disk);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #startAgent(): void {
    this.starts++;
    const agent = this.program(
      ['run'],
      {
        LD_PRELOAD: FAKETIME,
        FAKETIME_TIMESTAMP_FILE: join(this.folder, 'clock'),
        FAKETIME_NO_CACHE: '1',
        DONT_FAKE_MONOTONIC: '1',
        NODE_OPTIONS: '--max-old-space-size=96',
      },
      (line) => this.news.push(line),
    );
    this.agent = agent;
    this.record.born(agent.child.pid);
    agent.child.once('exit', () => {
      if (!this.#closing) setTimeout(() => this.#closing || this.#startAgent(), 200);
    });
  }

  #configure(): void {
    const put = (name: string, text: string) => writeFileSync(join(this.folder, name), text);
    put('devices.yaml', 'tcp: 127.0.0.1:1502\nunits:\n  1: [{ coil: 3, value: false }, { holding: 10, value: 215 }]\n');
    put(
      'dcs-io.yaml',
      `node: boiler
guardian: ${WITHIN_MS}ms
state: ${this.disk}
actors: [./victim.js]
ports:
  board: { driver: mock, record: hardware.jsonl }
  plc: { driver: modbus, tcp: "127.0.0.1:1502", timeout: 300ms }
  scale: { driver: serial, path: ${join(this.folder, 'tty')}, framing: { delimiter: "\\n" } }
pins:
  level: { port: board, channel: level, type: analog, direction: out, initial: 0, safe: 0 }
  valve: { port: plc, coil: 3, direction: out, initial: false, safe: false }
  temp: { port: plc, holding: 10, scale: 0.1, poll: 200ms }
  weight: { port: scale, match: 'W([0-9.]+)', type: number, max_age: 1s }
`,
    );
    put('hall.yaml', 'node: hall\nguardian: off\nstate: none\nactors: [./controller.js]\n');
  }
}

export function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}
