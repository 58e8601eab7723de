import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

/** Milliseconds of the system's monotonic clock, which is the same in every process. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until `probe` returns a value; resolves with `undefined` after `limitMs`. */
export async function within<Found>(
  limitMs: number,
  probe: () => Found | undefined | false,
): Promise<Found | undefined> {
  for (const end = now() + limitMs; ; ) {
    const found = probe();
    if (found !== undefined && found !== false) return found;
    if (now() > end) return undefined;
    await pause(10);
  }
}

/** A line of a program's output, and the time at which it was read here. */
export interface Line {
  readonly at: number;
  readonly text: string;
}

/** A running program that keeps its lines of output. */
export class Program {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  ended: number | undefined;

  constructor(command: readonly string[], options: SpawnOptions, take: (line: Line) => void = () => undefined) {
    const [program = '', ...args] = command;
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      let rest = '';
      stream?.on('data', (data) => {
        const texts = (rest + data).split('\n');
        rest = texts.pop() ?? '';
        for (const text of texts) {
          const line = { at: now(), text };
          this.lines.push(line);
          take(line);
        }
      });
    }
    // A killed program reads no more.
    this.child.stdin?.on('error', () => undefined);
    this.child.once('error', (error) => this.lines.push({ at: now(), text: `cannot be started: ${error.message}` }));
    this.child.once('exit', () => {
      this.ended = now();
    });
  }

  said(pattern: RegExp, since = 0): Line | undefined {
    return this.lines.find(({ at, text }) => at >= since && pattern.test(text));
  }

  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  signal(name: NodeJS.Signals): void {
    if (this.ended === undefined) this.child.kill(name);
  }

  /** Resolves when the program has ended; with false when it has not within the limit. */
  async end(name: NodeJS.Signals, limitMs: number): Promise<boolean> {
    this.signal(name);
    return (await within(limitMs, () => this.ended)) !== undefined;
  }
}
