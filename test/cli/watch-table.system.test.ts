import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { truncateLine } from '../../src/cli/pin-list.ts';
import { AgentProcess, cliFile } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';

describe('watch and status beside a running agent', () => {
  let agent: AgentProcess;
  beforeAll(async () => {
    const lamps = Array.from({ length: 30 }, (_, at) => `lamp-${at}: { port: sim, channel: l${at}, direction: out }`);
    agent = await AgentProcess.start(`
board: mock
ports:
  sim: { driver: mock, faults: [{ channel: broken, kind: error, after: 0ms }] }
pins:
  broken: { port: sim, channel: broken }
  ${lamps.join('\n  ')}
`);
  });
  afterAll(async () => {
    await agent?.stop();
  });

  /** `dcs-io …` on a terminal of 12 lines and 60 columns. */
  function onTerminal(...args: string[]) {
    const command = `stty rows 12 cols 60; exec '${process.execPath}' '${cliFile}' ${args.join(' ')}`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, DCS_IO_BUS: agent.bus, TERM: 'xterm', NO_COLOR: '1' },
    });
    const exit = new Promise<number | null>((done) => child.once('exit', done));
    const terminal = { child, exit, shown: '' };
    child.stdout.on('data', (data) => {
      terminal.shown += data;
    });
    return terminal;
  }

  it('watch on a terminal shows a table that follows the pins, fits the screen, scrolls, and restores the terminal', async () => {
    const terminal = onTerminal('watch');
    const { child, exit } = terminal;
    const frame = () => terminal.shown.split('\u001b[H').at(-2) ?? '';
    await until('the first pins', () => /lamp-0 +off/.test(frame()), 15_000);
    expect(frame()).not.toContain('lamp-20');
    expect(frame().split('\n').length).toBeLessThanOrEqual(12);
    await agent.cli('set', 'lamp-0', 'on');
    await until('lamp-0 to be on', () => /lamp-0 +on/.test(frame()), 15_000);
    for (let page = 0; page < 5; page++) child.stdin.write('\u001b[6~');
    await until('the last pin', () => frame().includes('lamp-29') && frame().includes('0 below'), 15_000);
    child.stdin.write('q');
    expect(await exit).toBe(0);
    expect(terminal.shown).toContain('\u001b[?1049h');
    expect(terminal.shown.trimEnd().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
  }, 60_000);

  it('--log prints lines on a terminal too, until Ctrl-C', async () => {
    const terminal = onTerminal('watch', '--log', 'lamp-1');
    await until('a line', () => /\d\d:\d\d:\d\d\.\d{3} +lamp-1 +off/.test(terminal.shown), 15_000);
    expect(terminal.shown).not.toContain('\u001b[?1049h');
    terminal.child.stdin.write('\u0003');
    expect(await terminal.exit).toBe(0);
  }, 60_000);

  it('status counts the pins of each node, shows those that are bad or overridden, and fails', async () => {
    await agent.cli('override', 'lamp-7', 'on', '--for', '10m');
    const { stdout, code } = await agent.cli('status');
    expect(code).toBe(1);
    expect(stdout).toMatch(/tested +31 +30 +0 +1 +0 +1/);
    expect(stdout).toMatch(/broken +\S+ +bad/);
    expect(stdout).toMatch(/lamp-7 +on +.*overridden by/);
    expect(stdout).not.toContain('lamp-3');
    const json = await agent.cli('status', '--json');
    expect(JSON.parse(json.stdout)).toEqual({
      loop_delay: expect.any(Number),
      node: 'tested',
      pins: 31,
      good: 30,
      uncertain: 0,
      bad: 1,
      silent: 0,
      held: 1,
    });
  }, 60_000);
});

describe('truncateLine', () => {
  it('counts visible characters only, and keeps the codes that end a colour', () => {
    expect(truncateLine('\u001b[31mabcdef\u001b[39m', 3)).toBe('\u001b[31mabc\u001b[39m');
    expect(truncateLine('äöü°C', 4)).toBe('äöü°');
    expect(truncateLine('short', 60)).toBe('short');
  });
});
