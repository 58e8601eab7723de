import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { nodeProgram } from './build.ts';

const root = join(import.meta.dirname, '../../..');

export interface Settings {
  rx: number;
  tx: number;
  listen?: string;
  brokers?: readonly string[];
  proxyBrokers?: readonly string[];
  insecure?: boolean;
  name?: string;
  quiet?: boolean;
  [more: string]: unknown;
}

export interface Got {
  readonly sender: string[];
  readonly msg_id: string;
  readonly payload: Record<string, Record<string, unknown>>;
}

/** A line a peer printed. */
export type Line = Readonly<Record<string, unknown>> & { readonly got?: Got; readonly overtaken?: Got };

const alive = new Set<Peer>();

/** A process of the mesh, ours or v1, in a network namespace if named. */
export class Peer {
  readonly lines: Line[] = [];
  readonly errors: string[] = [];
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  text = '';
  #wake: (() => void)[] = [];

  /** `plain`: it prints text, not lines of JSON. */
  constructor(command: string, args: readonly string[], namespace?: string, plain = false) {
    const [program, rest] = namespace ? ['ip', ['netns', 'exec', namespace, command, ...args]] : [command, [...args]];
    this.child = spawn(program, rest, { cwd: root, stdio: ['pipe', 'pipe', 'pipe'] });
    alive.add(this);
    this.exited = new Promise((resolve) => this.child.once('close', resolve));
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on('line', (text) => {
        this.text += `${text}\n`;
        if (!plain) this.lines.push(JSON.parse(text));
        for (const wake of this.#wake.splice(0)) wake();
      });
    }
    this.child.stderr?.on('data', (data: Buffer) => this.errors.push(data.toString()));
    this.child.stdin?.on('error', () => this.errors.push('stdin closed'));
  }

  /** Our node. */
  static node(settings: Settings, namespace?: string): Peer {
    return new Peer(process.execPath, [nodeProgram(), JSON.stringify(settings)], namespace);
  }

  /** A process of aktos-dcs v1. */
  static v1({ rx, tx, brokers = [], proxyBrokers = [] }: Settings, namespace?: string): Peer {
    const args = ['test/mesh/v1-peer.py', `${rx}`, `${tx}`, brokers.join(' '), proxyBrokers.join(' ')];
    return new Peer('/usr/bin/python3', args, namespace);
  }

  /** Waits for a line. */
  async line(what: (line: Line) => boolean, timeoutMs = 10_000): Promise<Line> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const found = this.lines.find(what);
      if (found) return found;
      if (Date.now() > end) {
        throw new Error(
          `no such line in ${timeoutMs} ms: ${what}\n${JSON.stringify(this.lines.slice(-5))}\n${this.errors.slice(-5).join('')}`,
        );
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 50);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async ready(timeoutMs?: number): Promise<this> {
    await this.line((line) => 'ready' in line || 'failed' in line, timeoutMs);
    return this;
  }

  get isBroker(): boolean {
    return this.lines.some((line) => line['broker'] === true);
  }

  get id(): string {
    return String(this.lines.find((line) => 'ready' in line)?.['ready']);
  }

  tell(command: object): void {
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** Broadcasts `{subject: {tag, …}}`. */
  send(subject: string, data: object, many: { count?: number; rate?: number } = {}): void {
    this.tell({ send: { [subject]: data }, ...many });
  }

  /** Everything of one subject that came in. */
  got(subject: string): Got[] {
    return this.lines.flatMap(({ got }) => (got && subject in got.payload ? [got] : []));
  }

  /**
   * The numbers of the messages of one subject that came in, lowest first. On a new, shorter way a message may overtake
   * those on the old one: they reach a process of v1 too, and it drops them by its own rule.
   */
  arrived(subject: string): number[] {
    return this.lines
      .flatMap(({ got, overtaken }) => (got ?? overtaken)?.payload[subject]?.['n'] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  async hears(subject: string, timeoutMs?: number): Promise<Got> {
    const { got } = await this.line((line) => line.got !== undefined && subject in line.got.payload, timeoutMs);
    if (!got) throw new Error('no message');
    return got;
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.child.kill(signal);
  }

  async end(): Promise<void> {
    alive.delete(this);
    this.child.kill('SIGCONT');
    this.child.kill('SIGKILL');
    if (this.child.exitCode === null && this.child.signalCode === null) await this.exited;
  }
}

/** Ends every peer that still runs; for afterEach. */
export async function endPeers(): Promise<void> {
  await Promise.all([...alive].map((peer) => peer.end()));
}

let counter = 0;

/** Sends until it arrives, as an application does while a mesh forms; then checks that a message arrives once. */
export async function talk(from: Peer, to: Peer, timeoutMs = 8000): Promise<void> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const subject = `Talk${process.pid}x${counter++}`;
    from.send(subject, { hi: 1 });
    const arrived = await to.hears(subject, 300).then(
      () => true,
      () => false,
    );
    if (arrived) return;
    if (Date.now() > end)
      throw new Error(`nothing arrives within ${timeoutMs} ms\n${from.errors.join('')}\n${to.errors.join('')}`);
  }
}

/** Talks both ways. */
export async function talkBoth(one: Peer, other: Peer, timeoutMs?: number): Promise<void> {
  await talk(one, other, timeoutMs);
  await talk(other, one, timeoutMs);
}
