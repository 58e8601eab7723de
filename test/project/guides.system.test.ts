import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandPath, leaves } from '../../src/cli/command-tree.ts';
import { program } from '../../src/cli/program.ts';
import { Lab } from '../mesh/support/lab.ts';
import { cliFile, type Finished, root, runToEnd } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';

/**
 * Guides, followed as a reader would: files are written where they are shown with a name, and every `sh` line is run in
 * their order (`sh refused`: ends with 1; `sh on-site`: needs hardware, so only whether the command exists is looked at). A
 * `text` block is what the command before it shows.
 */
const guides = ['docs/install-on-a-pi.md', 'docs/bridge-a-plc.md', 'docs/write-a-driver-or-actor.md'];

interface Block {
  readonly language: string;
  /** Behind the language: a file name, or what kind of commands these are. */
  readonly mark: string;
  readonly text: string;
}

function blocksOf(guide: string): Block[] {
  const text = readFileSync(join(root, guide), 'utf8');
  return [...text.matchAll(/^```(\S+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(([, language = '', mark = '', inner = '']) => ({
    language,
    mark,
    text: inner,
  }));
}

/** Commands that go on until they are told to end; `watch` is ended once it has said something. */
const LASTING = /^dcs-io (run|simulate|watch)\b/;

describe.each(guides)('%s', (guide) => {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-guide-'));
  const lab = new Lab();
  const running: { readonly line: string; readonly child: ChildProcess }[] = [];
  let machine = '';

  beforeAll(() => {
    machine = lab.machine('guide');
    mkdirSync(join(folder, 'bin'));
    symlinkSync(cliFile, join(folder, 'bin/dcs-io'));
    mkdirSync(join(folder, 'site'));
    symlinkSync(join(root, 'examples'), join(folder, 'site/examples'));
  });
  afterAll(async () => {
    for (const { child } of running.reverse()) await stop(child);
    lab.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const options = () => ({
    cwd: join(folder, 'site'),
    env: { ...process.env, PATH: `${folder}/bin:/usr/bin:${process.env['PATH']}`, CI: 'true' },
  });
  // The python3 of Debian, with its packages, whatever else is in the path.
  const run = (line: string) =>
    runToEnd(
      'ip',
      ['netns', 'exec', machine, '/bin/sh', '-c', line.replace(/^python3/, '/usr/bin/python3')],
      options(),
    );

  /** What a reader sees soon, though not at once: the plant takes its time. */
  async function settled(line: string, right: (done: Finished) => boolean): Promise<void> {
    let done: Finished | undefined;
    await until(
      `${line} to be answered so`,
      async () => {
        done = await run(line);
        return right(done);
      },
      40_000,
    ).catch((error: unknown) => {
      throw new Error(`${error}; it said ${JSON.stringify(done)}`);
    });
  }

  /** Starts what lasts, and waits until it is at work. */
  async function start(line: string): Promise<Finished> {
    const args = ['netns', 'exec', machine, '/bin/sh', '-c', `exec ${line}`];
    const child = spawn('ip', args, { ...options(), stdio: ['ignore', 'pipe', 'pipe'] });
    running.push({ line, child });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        said += data;
      });
    }
    const ready = line.includes(' run') ? () => said.includes('is running with') : () => said.includes('\n');
    await until(`${line} to be at work; it said ${said}`, () => ready() || child.exitCode !== null, 60_000);
    if (line.includes(' watch')) await stop(child);
    return { code: child.exitCode ?? 0, stdout: said, stderr: '' };
  }

  let last = '';
  for (const [number, { language, mark, text }] of blocksOf(guide).entries()) {
    const before = last;
    const lines = language === 'sh' ? text.trim().split('\n') : [];
    if (mark.includes('.')) it(`${number}: ${mark} is written`, () => writeFileSync(join(folder, 'site', mark), text));
    else if (mark === 'on-site') {
      it.each(lines)(`${number}: %s is a command`, async (line) => {
        expect(await isCommand(line)).toBe(true);
      });
    } else if (language === 'text') {
      it(
        `${number}: ${before} shows ${text.trim()}`,
        () => settled(before, (done) => squeezed(done.stdout) === squeezed(text)),
        60_000,
      );
    } else if (mark === 'refused') {
      it.each(lines)(`${number}: %s is refused`, (line) => settled(line, ({ code }) => code === 1), 60_000);
    } else {
      it.each(lines)(
        `${number}: %s`,
        async (line) => {
          const { code, stdout, stderr } = await (LASTING.test(line) ? start(line) : run(line));
          expect(code, stdout + stderr).toBe(0);
        },
        90_000,
      );
    }
    last = lines.at(-1) ?? last;
  }

  it('has commands', () => {
    expect(blocksOf(guide).filter(({ language, mark }) => language === 'sh' && mark === '').length).toBeGreaterThan(2);
  });
});

function squeezed(text: string): string {
  return text.trim().replaceAll(/\s+/g, ' ');
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGINT');
  await exit;
}

/** Whether the command line takes it; what is not ours is a program of the system or of this checkout. */
async function isCommand(line: string): Promise<boolean> {
  const [, typed] = /^(?:sudo )?dcs-io (.*)$/.exec(line) ?? [];
  if (typed === undefined)
    return /^(sudo )?(npm|npx|cp|systemctl|journalctl|scripts\/(test|reference))( |$)/.test(line);
  const tree = await program();
  const called: string[] = [];
  for (const command of leaves(tree)) {
    command.action(() => {
      called.push(commandPath(command));
    });
  }
  await tree.parseAsync(typed.replaceAll("'", '').split(' '), { from: 'user' });
  return called.length === 1;
}
