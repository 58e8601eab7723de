import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { judgeEnding } from './final-checks.ts';
import { Machine, run } from './machine.ts';
import { type Line, now, Program, pause, within } from './process.ts';
import { WorldRecord } from './record.ts';
import type { ReportFailure, Scene } from './scene.ts';
import { addresses, layOut } from './site.ts';

const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const START_LIMIT_MS = 60_000;
const expected = { good: ['valve', 'temp', 'weight'], values: { temp: 21.5, weight: 12.5 } };

export interface WorldOptions {
  readonly name: string;
  readonly project: string;
  /** With keys, the agent, its controller and an attacker are on machines of their own; otherwise all are on one. */
  readonly secured: boolean;
  readonly seed: number;
}

/**
 * An agent with its hardware (simulated outputs in a file, a Modbus device, a serial line on a pty), a second node that
 * commands it, an attacker, and a small disk for its state. An agent that ends is restarted, as by systemd.
 */
export class World implements Scene {
  readonly name: string;
  readonly recoveryMs = 40_000;
  readonly secured: boolean;
  readonly folder: string;
  readonly disk: string;
  readonly record: WorldRecord;
  /** All lines of output of agents, guardians, the controller and the attacker, in order. */
  readonly news: Line[] = [];
  agent: Program | undefined;
  controller: Program | undefined;
  simulator: Program | undefined;
  attacker: Program | undefined;
  readonly #options: WorldOptions;
  readonly #boiler: Machine;
  readonly #machines: Machine[] = [];
  #socat: Program | undefined;
  #weights: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.name = options.name;
    this.secured = options.secured;
    this.folder = mkdtempSync(join(tmpdir(), 'world-'));
    this.disk = join(this.folder, 'disk');
    this.record = new WorldRecord(join(this.folder, 'hardware.jsonl'), expected);
    mkdirSync(this.disk);
    mkdirSync(join(this.folder, 'run'), { mode: 0o700 });
    run('mount', '-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', this.disk);
    this.#boiler = this.#machine();
  }

  /** Resolves when the agent and its controller run and are connected. */
  async open(): Promise<void> {
    const { project, secured, seed } = this.#options;
    const [hall, alley] = secured ? [this.#machine(), this.#machine()] : [this.#boiler, this.#boiler];
    await Promise.all(this.#machines.map((machine) => machine.open()));
    if (secured) {
      this.#boiler.cable('hall', addresses.boiler, hall, addresses.hall);
      this.#boiler.cable('alley', addresses.gate, alley, addresses.alley);
    }
    const entrance = await layOut(this.folder, project, this.disk, secured);
    this.simulator = this.program(['simulate', 'devices.yaml']);
    await this.plug();
    this.#startAgent();
    this.controller = hall.start(['run', '--config', 'hall.yaml'], {}, (line) => {
      this.news.push(line);
      this.record.take(line.text);
    });
    const file = fileURLToPath(new URL('./attacker.js', import.meta.url));
    this.attacker = alley.start([JSON.stringify({ ...entrance, seed })], {}, (line) => this.news.push(line), file);
    if (!(await within(START_LIMIT_MS, () => this.healthySince(0)))) {
      const { ended, lines } = this.#socat ?? { ended: undefined, lines: [] };
      throw new Error(`the world did not start; serial device: ${ended ?? 'runs'}, ${lines.map(({ text }) => text)}`);
    }
  }

  /** Starts a `dcs-io` command on the agent's machine. */
  program(args: readonly string[], env?: NodeJS.ProcessEnv, take?: (line: Line) => void): Program {
    return this.#boiler.start(args, env, take);
  }

  /** Unplugs the cable between the agent and its controller, or plugs it in. */
  network(state: 'down' | 'up'): void {
    this.#boiler.inside('ip', 'link', 'set', this.secured ? 'hall' : 'lo', state);
  }

  /** The agent's counters of the bus; `undefined` when it does not answer. */
  async counters(): Promise<{ readonly [counter: string]: number } | undefined> {
    const ask = `fetch('http://127.0.0.1:8080/api/status').then((r) => r.json()).then((s) => console.log(JSON.stringify(s.mesh)))`;
    const asked = this.#boiler.start([ask], {}, undefined, '--eval');
    await within(5000, () => asked.ended);
    const line = asked.said(/^\{/);
    return line && JSON.parse(line.text);
  }

  /** Plugs in the serial device, a scale that sends weights. */
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

  /** The first time after `since` at which the agent ran, all pins were good and new commands were carried out. */
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

  /** Stops the agent with SIGTERM. Resolves with the time that this took; with `undefined` when it did not end. */
  async stopAgent(): Promise<number | undefined> {
    this.#closing = true;
    const begun = now();
    return (await this.agent?.end('SIGTERM', 5000)) ? (this.agent?.ended ?? 0) - begun : undefined;
  }

  async finish(fail: ReportFailure): Promise<void> {
    await judgeEnding(this, fail);
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#weights);
    for (const program of [this.attacker, this.controller, this.agent, this.simulator, this.#socat]) {
      program?.signal('SIGCONT');
      await program?.end('SIGKILL', 5000);
    }
    for (const machine of this.#machines) await machine.close();
    // A guardian whose agent was just killed may still use the folder.
    await pause(300);
    run('umount', '-l', this.disk);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #machine(): Machine {
    const machine = new Machine(this.#options.project, this.folder);
    this.#machines.push(machine);
    return machine;
  }

  #startAgent(): void {
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
    this.record.agentStarted(agent.child.pid);
    agent.child.once('exit', () => {
      if (!this.#closing) setTimeout(() => this.#closing || this.#startAgent(), 200);
    });
  }
}
