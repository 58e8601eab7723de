import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';
import { until } from './wait.ts';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
export const cliFile = join(root, 'dist/src/cli/main.js');

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built command line to its end. */
export function cli(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Finished> {
  return runToEnd(process.execPath, [cliFile, ...args], options);
}

/** Runs a program to its end and returns what it said. */
export function runToEnd(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const said = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => {
      said.stdout += data;
    });
    child.stderr.on('data', (data) => {
      said.stderr += data;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...said }));
  });
}

/** An agent running as a process of its own, from the built package. */
export class AgentProcess {
  readonly child: ChildProcess;
  readonly folder: string;
  /** `HOST:RX:TX` for client commands. */
  readonly bus: string;
  log = '';

  constructor(child: ChildProcess, folder: string, bus: string) {
    this.child = child;
    this.folder = folder;
    this.bus = bus;
    child.stderr?.on('data', (data) => {
      this.log += data;
    });
  }

  /**
   * Starts an agent on a bus of its own, or on that of another. `yaml` is its configuration without `node` and `bus`;
   * `files` are laid beside it.
   */
  static async start(
    yaml: string,
    files: Record<string, string> = {},
    env: NodeJS.ProcessEnv = {},
    { node = 'tested', beside }: { node?: string; beside?: AgentProcess } = {},
  ): Promise<AgentProcess> {
    if (!existsSync(cliFile)) throw new Error('dist/ is missing: run scripts/build first (scripts/test does)');
    const folder = mkdtempSync(join(tmpdir(), 'dcs-io-test-'));
    const [, rx, tx] = beside ? beside.bus.split(':') : ['', await freePort(), await freePort()];
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    // Most tests kill their agents; a guardian would then go on talking to whatever the next test puts on that port.
    const guardian = yaml.includes('guardian:') ? '' : 'guardian: off\n';
    writeFileSync(join(folder, 'dcs-io.yaml'), `node: ${node}\nbus: { rx: ${rx}, tx: ${tx} }\n${guardian}${yaml}`);
    return AgentProcess.launch(folder, `127.0.0.1:${rx}:${tx}`, env);
  }

  /** Starts an agent in the folder of one that has been there before. */
  static async launch(folder: string, bus: string, more: NodeJS.ProcessEnv = {}): Promise<AgentProcess> {
    const env = { ...process.env, RUNTIME_DIRECTORY: folder, ...more };
    const child = spawn(process.execPath, [cliFile, 'run'], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
    const agent = new AgentProcess(child, folder, bus);
    const runs = () => {
      if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}: ${agent.log}`);
      return agent.log.includes('is running with');
    };
    await until('the agent to run', runs, 20_000);
    return agent;
  }

  cli(...args: string[]): Promise<Finished> {
    return cli(args, { cwd: this.folder, env: { ...process.env, DCS_IO_BUS: this.bus } });
  }

  /** What `dcs-io get --json` says of a pin. */
  async report(pin: string): Promise<Record<string, unknown>> {
    const { stdout, stderr } = await this.cli('get', pin, '--json');
    if (stdout === '') throw new Error(`get ${pin}: ${stderr}`);
    const found: unknown = JSON.parse(stdout);
    return typeof found === 'object' && found !== null ? { ...found } : {};
  }

  /** Ends the agent; returns its exit code and how long it took (ms). */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<{ code: number | null; ms: number }> {
    const begun = performance.now();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill(signal);
      await new Promise((resolve) => this.child.once('exit', resolve));
    }
    const ms = performance.now() - begun;
    rmSync(this.folder, { recursive: true, force: true });
    return { code: this.child.exitCode, ms };
  }
}

/** Lines a program prints, as they come. */
export class LineReader {
  readonly lines: string[] = [];
  readonly child: ChildProcess;

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    let rest = '';
    this.child.stdout?.on('data', (data) => {
      const parts = (rest + data).split('\n');
      rest = parts.pop() ?? '';
      this.lines.push(...parts);
    });
  }

  /** Waits for a line that contains `text`, among those not asked for yet. */
  async line(text: string, limitMs = 5000): Promise<string> {
    return until(
      `a line with ${text}; there were ${JSON.stringify(this.lines.slice(-10))}`,
      () => {
        const at = this.lines.findIndex((line) => line.includes(text));
        return at < 0 ? undefined : this.lines.splice(0, at + 1).at(-1);
      },
      limitMs,
    );
  }

  say(text: string): void {
    this.child.stdin?.write(`${text}\n`);
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill(signal);
    await new Promise((resolve) => this.child.once('exit', resolve));
  }
}
