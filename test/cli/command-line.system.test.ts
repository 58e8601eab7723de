import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { commandPath, examplesOf, leaves, subcommands } from '../../src/cli/command-tree.ts';
import { completions } from '../../src/cli/commands/completion.ts';
import { program } from '../../src/cli/program.ts';
import { cli, runToEnd } from '../support/agent-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-line-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const wholeCli = await program();

describe('every command', () => {
  it.each(leaves(wholeCli).map((command) => ({ path: commandPath(command), lines: examplesOf(command) })))(
    '$path has examples that parse',
    async ({ path, lines }) => {
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) {
        const [typed = ''] = line.replace(/^sudo /, '').split(/ [|>] /);
        const { stdout } = await runToEnd('sh', ['-c', `set -- ${typed}; printf '%s\\n' "$@"`]);
        const words = stdout.trimEnd().split('\n').slice(1);
        const tree = await program(words);
        const called: string[] = [];
        for (const command of leaves(tree)) {
          command.configureOutput({ writeErr: () => {} }).action(() => {
            called.push(commandPath(command));
          });
        }
        await tree.parseAsync(words, { from: 'user' });
        expect(called).toEqual([path]);
      }
    },
  );

  it('is loaded alone when the command line names it; help, completion and manual page load all commands', async () => {
    const names = async (...words: string[]) => subcommands(await program(words)).map((command) => command.name());
    expect(await names('set', 'status', 'on')).toEqual(['set']);
    expect(await names('--bus', 'get', '--json', 'boards')).toEqual(['boards']);
    const all = subcommands(wholeCli).map((command) => command.name());
    for (const words of [
      [],
      ['--help'],
      ['help', 'set'],
      ['stauts'],
      ['constructor'],
      ['complete', '--', 's'],
      ['man'],
    ]) {
      expect(await names(...words)).toEqual(all);
    }
  });

  it('shows its examples in --help', async () => {
    const { stdout, code } = await cli(['scan', 'i2c', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('  dcs-io scan i2c 1 --mux 0x70/3');
  });
});

describe('options before the command', () => {
  it('are those of the command', async () => {
    const { stdout, code } = await cli(['--json', 'boards', 'list']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({ name: 'beaglebone-black' });
    const away = await cli(['--bus', '127.0.0.1:1:2', 'get', 'pump', '--timeout', '0.2']);
    expect(away.code).toBe(3);
    expect(away.stderr).toContain('127.0.0.1:1:2');
    expect(away.stderr).toContain('dcs-io doctor');
  });

  it('that the command does not have are refused', async () => {
    const { stderr, code } = await cli(['--json', 'run']);
    expect(code).toBe(2);
    expect(stderr).toContain('run has no option --json');
  });
});

describe('completion', () => {
  const words = (...typed: string[]) => completions(wholeCli, typed).words.map(({ word }) => word);

  it('completes commands, subcommands, options and choices at their places on the line', () => {
    expect(words('sta')).toEqual(['status']);
    expect(words('s')).toEqual(words('').filter((word) => word.startsWith('s')));
    expect(words('scan', '')).toEqual(['modbus', 'i2c']);
    expect(words('set', '--p')).toEqual(['--pulse']);
    expect(words('run', '--log-level', 'de')).toEqual(['debug']);
    expect(words('--bus', 'set', 'ge')).toEqual(['get']);
    expect(words('nothing-known', '')).not.toContain('debug');
  });

  it('finds the source of a value', () => {
    const source = (...typed: string[]) => completions(wholeCli, typed).from;
    expect(source('get', '')).toBe('pins');
    expect(source('set', '--hold', '3', '')).toBe('pins');
    expect(source('set', 'pump', '')).toBeUndefined();
    expect(source('watch', 'a', 'b', '')).toBe('pins');
    expect(source('check', '-c', '')).toBe('files');
    expect(source('keys', 'new', '--keys', '')).toBe('folders');
    expect(source('boards', 'show', '')).toBe('board');
    expect(completions(wholeCli, ['get', '--bus', 'a:1:2', '']).given.get('bus')).toBe('a:1:2');
  });

  it('offers the pins of the configuration when no agent answers', async () => {
    writeFileSync(join(folder, 'dcs-io.yaml'), 'board: mock\npins: { pump: { gpio: GPIO1 }, lamp: { gpio: GPIO2 } }\n');
    const env = { ...process.env, DCS_IO_BUS: '127.0.0.1:1:2' };
    const { stdout } = await cli(['complete', '--', 'get', 'p'], { cwd: folder, env });
    expect(stdout).toBe('pump\t\n');
  });
});

describe('the manual page', () => {
  it('formats without warnings and has every command', async () => {
    const { stdout: page } = await cli(['man']);
    const file = join(folder, 'dcs-io.1');
    writeFileSync(file, page);
    const env = { ...process.env, MANWIDTH: '200', LC_ALL: 'C.UTF-8' };
    const { stdout, stderr } = await runToEnd('man', ['--warnings', '-l', file], { env });
    expect(stderr).toBe('');
    for (const command of leaves(wholeCli)) expect(stdout).toContain(`dcs-io ${commandPath(command)}`);
    expect(stdout).toContain("dcs-io watch 'tank-*'");
  });
});
