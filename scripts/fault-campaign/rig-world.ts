import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../test/support/free-port.ts';
import { Meter } from './meter.ts';
import { type Line, now, Program, within } from './process.ts';
import { WorldRecord } from './record.ts';
import type { ReportFailure, Scene } from './scene.ts';
import { Tail } from './tail.ts';

/** Timeouts for an emulated machine, which is slow. */
const START_LIMIT_MS = 180_000;
const ORDER_LIMIT_MS = 60_000;
const STOP_MS = 20_000;
/** The number of unread edges that the kernel keeps. */
export const KERNEL_EDGES = 1024;
/** Outputs must be safe this long after the agent's last heartbeat; an agent that is busy for 5 s is left alone. */
export const RIG_WITHIN_MS = 8000;

/**
 * The world of a virtual machine with a real kernel: an agent with an output and a water meter on a GPIO chip that is
 * simulated below the kernel. The machine's own script, outside the agent, reports the level of the output's line and turns the
 * meter. The node that commands the output runs on this side of a tunnel.
 */
export class RigWorld implements Scene {
  readonly name = 'rig';
  readonly recoveryMs = 120_000;
  readonly record: WorldRecord;
  readonly meter = new Meter();
  readonly news: Line[] = [];
  controller: Program | undefined;
  readonly #project: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'rig-'));
  readonly #share = join(this.#folder, 'share');
  readonly #log = new Tail(join(this.#share, 'agent.log'));
  #machine: Program | undefined;
  #logs: NodeJS.Timeout | undefined;
  #started = 0;

  constructor(project: string) {
    this.#project = project;
    mkdirSync(this.#share);
    this.record = new WorldRecord(join(this.#folder, 'hardware.jsonl'), { good: ['water'], values: {} });
  }

  /** Resolves when the machine, the agent and its controller run and are connected. */
  async open(): Promise<void> {
    const [rx, tx, ownRx, ownTx] = await Promise.all([1, 2, 3, 4].map(freePort));
    const put = (name: string, text: string) => writeFileSync(join(this.#folder, name), text);
    put(
      'share/dcs-io.yaml',
      `node: rig
guardian: ${RIG_WITHIN_MS}ms
state: /tmp/site/kept
bus: { listen: 0.0.0.0, insecure: true }
actors: [${this.#project}/scripts/fault-campaign/victim.js]
ports:
  sim: { driver: gpio, chip: rig }
pins:
  water: { port: sim, gpio: 1, count: rising, report: 500ms }
  level: { port: sim, gpio: 3, direction: out, initial: false, safe: false }
`,
    );
    put(
      'hall.yaml',
      `node: hall
guardian: off
state: none
bus: { rx: ${ownRx}, tx: ${ownTx}, proxy_brokers: ["127.0.0.1:${rx}:${tx}"] }
actors: [${this.#project}/scripts/fault-campaign/rig-controller.js]
`,
    );
    const forwards = ['-f', `${rx}:5012`, '-f', `${tx}:5013`];
    const job = ['scripts/fault-campaign/rig-guest.sh', this.#project];
    const rig = ['scripts/rig/run', '-t', '1200', '-s', this.#share, ...forwards, '--', ...job];
    this.#machine = new Program(rig, { cwd: this.#project, env: { ...process.env, DCS_IO_RIG_MB: '640' } }, (line) =>
      this.#told(line),
    );
    this.#logs = setInterval(() => this.#read(), 20);
    await within(START_LIMIT_MS, () => this.#running());
    const main = join(this.#project, 'dist/src/cli/main.js');
    const command = [process.execPath, main, 'run', '--config', 'hall.yaml'];
    this.controller = new Program(command, { cwd: this.#folder }, (line) => {
      this.news.push(line);
      this.record.take(line.text);
      this.meter.take(line.text);
    });
    if (!(await within(START_LIMIT_MS, () => this.healthySince(0)))) throw new Error('the machine did not start');
    await this.meter.begin(await this.order('hold'));
    await this.order('turn');
  }

  /** Sends a command to the machine's script; resolves with the number of pulses that the meter has made. */
  async order(order: string, argument: string | number = ''): Promise<number> {
    const begun = now();
    const file = join(this.#share, 'order');
    writeFileSync(`${file}.new`, `${order} ${argument}\n`);
    renameSync(`${file}.new`, file);
    const done = await within(ORDER_LIMIT_MS, () => this.#machine?.said(new RegExp(`^did ${order} `), begun));
    if (!done) throw new Error(`the machine does not do what it is told: ${order}`);
    return Number(done.text.split(' ')[2]);
  }

  said(pattern: RegExp, since: number): number | undefined {
    return this.news.find(({ at, text }) => at >= since && pattern.test(text))?.at;
  }

  healthySince(since: number): number | undefined {
    return this.#running() ? this.record.healthyAt(since) : undefined;
  }

  tail(lines: number): string {
    const texts = this.news.slice(-lines).map(({ text }) => text.slice(0, 300));
    return texts.join('\n');
  }

  /** Promise 1: every edge is counted, or its loss reported. After an absence of the agent or its chip, counting restarts. */
  async settle(since: number, fail: ReportFailure): Promise<void> {
    const pulses = await this.order('hold');
    const whole = this.said(/is running with|port sim.*(?:down|lost|gone)|PORT_DOWN/, since) === undefined;
    const wrong = await this.meter.judge(pulses, since, whole);
    if (wrong !== undefined) fail(`promise 1: ${wrong}`);
    await this.order('turn');
  }

  /** A stop leaves the output in its exit state (promises 4 and 8). */
  async finish(fail: ReportFailure): Promise<void> {
    const begun = now();
    await this.order('end');
    const ended = await within(STOP_MS, () => this.#machine?.said(/^ended /, begun));
    if (ended?.text.trim() !== 'ended 0') fail(`promise 8: SIGTERM: ${ended?.text ?? 'no end'}`);
    await within(5000, () => this.record.level?.value === 0);
    if (this.record.level?.value !== 0) fail('promise 4: after the stop the output is not in its exit state');
  }

  async close(): Promise<void> {
    clearInterval(this.#logs);
    await this.controller?.end('SIGKILL', 5000);
    await this.#machine?.end('SIGTERM', 10_000);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #running(): boolean {
    return this.said(/ is running with /, this.#started) !== undefined;
  }

  /** A line of the machine's console. */
  #told(line: Line): void {
    const [, what = ''] = /^level (\w+)/.exec(line.text) ?? [];
    if (what !== '') {
      const level = { key: 'level', value: what === '1' ? 1 : 0, at: line.at, by: 0 };
      appendFileSync(join(this.#folder, 'hardware.jsonl'), `${JSON.stringify(level)}\n`);
    } else if (!line.text.startsWith('did ')) this.news.push(line);
    if (line.text.startsWith('the agent ended')) this.#started = line.at;
  }

  #read(): void {
    for (const text of this.#log.read()) this.news.push({ at: now(), text });
  }
}
