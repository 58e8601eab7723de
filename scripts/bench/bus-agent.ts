/**
 * CPU time of an agent for 1,000 commands and 1,000 reports, for scripts/bench/bus: a built agent with simulated hardware,
 * alone and with one peer. The agent measures its own process, all threads together.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const RELAYS = 10;
/** Inputs wired to one output: one command makes that many reports. */
const INPUTS = 50;
const COMMANDS = 20_000;
/** Commands of a peer in one turn; it waits for all answers before the next ones. */
const BURST = 50;
const WARM_UP = 4000;

export const loads = ['command', 'report'] as const;
export type Load = (typeof loads)[number];

export interface AgentRun {
  /** Checkout whose `dist` is measured. */
  readonly tree: string;
  readonly load: Load;
  /** A second agent listens to every pin; commands come from it. */
  readonly peer: boolean;
  /** TCP port; the next one is used too. */
  readonly port: number;
}

/** Runs one agent; resolves with its CPU time (ms) for 1,000 commands or reports. Rejects when it ends without a figure. */
export async function cpuPerThousand({ tree, load, peer, port }: AgentRun): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-bench-'));
  const children: ChildProcess[] = [];
  const run = (name: string, config: string) => {
    const file = join(folder, `${name}.yaml`);
    writeFileSync(file, config);
    const args = [join(tree, 'dist/src/cli/main.js'), 'run', '-c', file, '--log-level', 'error'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: folder });
    children.push(child);
    return child;
  };
  try {
    writeFileSync(join(folder, 'measured.js'), measuredActor(load, peer));
    writeFileSync(join(folder, 'peer.js'), peerActor(load));
    const measured = run('measured', measuredConfig(load, port));
    if (peer) run('peer', `node: peer\nbus: { rx: ${port}, tx: ${port + 1} }\nactors: [./peer.js]\n`);
    return await figureOf(measured);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

function figureOf({ stdout }: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    stdout?.on('data', (chunk) => {
      text += chunk;
      const found = /CPU (\d+) us for (\d+)/.exec(text);
      if (found) resolve(Number(found[1]) / Number(found[2]));
    });
    stdout?.once('end', () => reject(new Error(`the measured agent ended without a figure: ${text}`)));
  });
}

function measuredConfig(load: Load, port: number): string {
  const relays = Array.from({ length: RELAYS }, (_, n) => `relay-${n}`);
  const inputs = Array.from({ length: load === 'report' ? INPUTS : 0 }, (_, n) => `input-${n}`);
  return [
    'node: measured',
    `bus: { rx: ${port}, tx: ${port + 1} }`,
    'guardian: off',
    `ports: { sim: { driver: mock, loopback: [${inputs.map((input) => `[relay-0, ${input}]`).join(', ')}] } }`,
    'pins:',
    ...relays.map((name) => `  ${name}: { port: sim, channel: ${name}, direction: out, initial: false, safe: false }`),
    ...inputs.map((name) => `  ${name}: { port: sim, channel: ${name} }`),
    'actors: [./measured.js]',
  ].join('\n');
}

/** Measures from BenchMark to BenchMark; alone it sends the commands itself. */
function measuredActor(load: Load, peer: boolean): string {
  const commands = load === 'report' ? COMMANDS / 10 : COMMANDS;
  const counted = load === 'report' ? commands * (INPUTS + 1) : commands;
  return `import { Actor } from 'dcs-io';
const turn = () => new Promise((resolve) => setImmediate(resolve));
export default class Measured extends Actor {
  constructor() {
    super('measured');
    this.on('BenchMark', ({ phase }) => (phase === 'start' ? this.begin() : this.end()));
    this.on('BenchGo', () => void this.run());
  }
  onStart() {
    if (!${peer}) this.after(1000, () => void this.run());
  }
  begin() { this.from = process.cpuUsage(); }
  end() {
    const { user, system } = process.cpuUsage(this.from);
    console.log(\`CPU \${user + system} us for ${counted}\`);
  }
  async run() {
    await this.burst(${load === 'report' ? WARM_UP / 10 : WARM_UP});
    this.begin();
    await this.burst(${commands});
    this.end();
  }
  async burst(count) {
    for (let n = 0; n < count; n++) {
      const relay = ${load === 'report' ? 0 : `n % ${RELAYS}`};
      this.send({ IoMessage: { pin_name: \`relay-\${relay}\`, val: Math.floor(n / ${load === 'report' ? 1 : RELAYS}) % 2 === 0 } });
      if (n % ${load === 'report' ? 1 : RELAYS} === 0) await turn();
    }
    for (let n = 0; n < 20; n++) await turn();
  }
}
`;
}

/** Listens to every pin. Sends the commands when they are measured, else asks the agent to make its reports. */
function peerActor(load: Load): string {
  return `import { Actor } from 'dcs-io';
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const turn = () => new Promise((resolve) => setImmediate(resolve));
export default class Peer extends Actor {
  constructor() {
    super('peer');
    this.answers = 0;
    for (let n = 0; n < ${RELAYS}; n++) this.onReport(\`relay-\${n}\`, ({ reply_to }) => { if (reply_to !== undefined) this.answers++; });
    for (let n = 0; n < ${INPUTS}; n++) this.onReport(\`input-\${n}\`, () => undefined);
  }
  onStart() { void this.run(); }
  async run() {
    await pause(2000);
    if (${load === 'report'}) return void this.send({ BenchGo: {} });
    await this.burst(${WARM_UP});
    this.send({ BenchMark: { phase: 'start' } });
    await this.burst(${COMMANDS});
    this.send({ BenchMark: { phase: 'end' } });
  }
  async burst(count) {
    const before = this.answers;
    for (let n = 0; n < count; n++) {
      this.send({ IoMessage: { pin_name: \`relay-\${n % ${RELAYS}}\`, val: Math.floor(n / ${RELAYS}) % 2 === 0 } });
      // Bursts, so that a faster agent does not get its commands in more frames.
      if (n % ${BURST} === ${BURST - 1}) while (this.answers - before <= n) await turn();
    }
  }
}
`;
}
