import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withAudit } from '../../src/agent/audit.ts';
import { AuditFile, QUEUE_LIMIT } from '../../src/agent/audit-file.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { newToken } from '../../src/web/auth/credentials.ts';
import { AgentProcess } from '../support/agent-process.ts';
import { Observer } from '../support/observer.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { WebAgent } from '../web/web-agent.ts';

const [ali, eve] = [newToken(), newToken()];

let folder = '';
let agent: AgentProcess | undefined;
const mounted: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-audit-'));
});
afterEach(async () => {
  await agent?.stop('SIGKILL');
  agent = undefined;
  for (const place of mounted.splice(0)) run('umount', '-l', place);
  rmSync(folder, { recursive: true, force: true });
});

function run(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}

/** A disk of 64 KiB. */
function smallDisk(): string {
  const place = join(folder, 'disk');
  mkdirSync(place);
  run('mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place);
  mounted.push(place);
  return place;
}

type Line = Record<string, unknown>;
function lines(path: string): Line[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}
const without = ({ at: _, ...rest }: Line) => rest;

describe('the audit log', () => {
  it('records commands with sender and result, refusals with their rule, overrides and safe states', async () => {
    agent = await AgentProcess.start(`state: ${folder}
ports: { sim: { driver: mock } }
pins:
  pump: { port: sim, channel: pump, direction: out, initial: false, safe: false, interlock: drain }
  drain: { port: sim, channel: drain, direction: out, initial: false, safe: false }
  door: { port: sim, channel: door }
`);
    await agent.cli('set', 'pump', 'on', '--hold', '0.2');
    const path = join(folder, 'tested.audit.jsonl');
    const of = (kind: string) => lines(path).filter((line) => line['kind'] === kind);
    await until('the end of the lease', () => of('safe').find(({ why }) => why === 'the lease ended'));
    await agent.cli('set', 'drain', 'on');
    expect(await agent.cli('set', 'pump', 'on')).toMatchObject({ code: 1 });
    const person = await new Observer(agent.bus).start();
    person.actor.send({ IoMessage: { pin_name: 'drain', val: false, override: 600 } });
    await until('the override', () => of('override')[0]);
    const [first] = of('command');
    expect(first).toMatchObject({ pin: 'pump', val: true, hold: 0.2 });
    expect(of('done')[0]).toMatchObject({ pin: 'pump', val: true, id: first?.['id'], state: 'verified' });
    await until('the refusal', () => of('refused')[0]);
    expect(of('refused')[0]).toMatchObject({
      pin: 'pump',
      code: 'RULE',
      rule: 'interlock',
      id: of('command').at(-1)?.['id'],
    });
    expect(of('override')[0]).toMatchObject({ pin: 'drain', val: false, override: 600 });
    await until('the decision', () => of('decision').find(({ pin, by }) => pin === 'drain' && by === 'override'));
    await person.stop();
    const { child } = agent;
    child.kill('SIGTERM');
    await until('its end', () => child.exitCode === 0);
    expect(lines(path).at(-1)).toMatchObject({ kind: 'stop', pid: child.pid });
  });

  it('names the web user who commanded, over HTTP and WebSocket; keys of the message do not reach the log', async () => {
    const web = await WebAgent.start(
      `state: ${folder}
web:
  listen: 127.0.0.1:0
  users: { ali: { role: operate, token: "${ali.hash}" }, eve: { role: operate, token: "${eve.hash}" } }`,
      'pins: { lamp: { virtual: bool, direction: out, initial: false, safe: false } }',
    );
    agent = web.agent;
    const headers = { authorization: `Bearer ${ali.token}` };
    const put = (json: object) => web.http('PUT', '/api/pins/lamp', { json, headers });
    expect(await put({ val: true })).toMatchObject({
      json: { output: { command: { node: 'tested', actor: 'web/ali' } } },
    });
    const client = web.client({ token: eve.token });
    await client.ready();
    const forged = { kind: 'refused', at: 1, pin: 'other', actor: 'web/ali', junk: 'x'.repeat(50_000) };
    client.send({ IoMessage: { pin_name: 'lamp', val: false, ...forged } });
    // Gone at once: the name is known all the same.
    client.close();
    const path = join(folder, 'tested.audit.jsonl');
    const of = (kind: string) => lines(path).filter((line) => line['kind'] === kind);
    await until('both commands', () => of('command').length === 2);
    expect(await put({ val: true, override: 60 })).toMatchObject({
      json: { output: { override: { node: 'tested', actor: 'web/ali' } } },
    });
    await until('the override', () => of('override')[0]);
    expect(of('command')).toMatchObject([
      { pin: 'lamp', val: true, node: 'tested', actor: 'web/ali' },
      { pin: 'lamp', val: false, node: 'tested', actor: 'web/eve' },
    ]);
    expect(of('override')).toMatchObject([{ pin: 'lamp', override: 60, node: 'tested', actor: 'web/ali' }]);
    expect(of('refused')).toEqual([]);
    expect(readFileSync(path, 'utf8')).not.toContain('junk');
    const { stdout } = await agent.cli('tail', 'lamp');
    expect(stdout).toMatch(/command .*lamp.*actor=web\/eve/);
  });

  it('writes lines that were added during a write before it closes', async () => {
    const clock = new ManualClock();
    const path = join(folder, 'closing.jsonl');
    const file = new AuditFile(path, { clock, log: memoryLog() });
    file.add('first', {});
    await clock.advance(500);
    expect(file.stats.written).toBe(0);
    file.add('last', {});
    await file.close();
    expect(lines(path).map(({ kind }) => kind)).toEqual(['first', 'last']);
  });

  it('an agent with its state folder on a full or read-only disk goes on, and reports lost lines when there is room', async () => {
    const disk = smallDisk();
    writeFileSync(join(disk, 'ballast'), Buffer.alloc(60 * 1024));
    agent = await AgentProcess.start(
      `state: ${disk}
ports: { sim: { driver: mock } }
pins: { lamp: { port: sim, channel: lamp, direction: out, initial: false, safe: false } }
actors: [./busy.js]
`,
      {
        'busy.js': `import { Actor } from 'dcs-io';
export default class extends Actor {
  constructor() { super('busy'); let on = false; this.every(20, () => { on = !on; for (let i = 0; i < 20; i++) this.send({ IoMessage: { pin_name: 'lamp', val: on } }); }); }
}`,
      },
    );
    await until('the trouble', () => agent?.log.includes('the audit log cannot be written'), 10_000);
    run('mount', '-o', 'remount,ro', disk);
    await until('more than can wait', () => agent?.log.includes('EROFS'), 15_000);
    expect(await agent.report('lamp')).toMatchObject({ quality: 'good' });
    run('mount', '-o', 'remount,rw,size=4m', disk);
    const path = join(disk, 'tested.audit.jsonl');
    await until('the gap', () => lines(path).some(({ kind }) => kind === 'gap'), 15_000);
    await until('the news', () => agent?.log.includes('the audit log is written again'));
    expect(Number(lines(path).find(({ kind }) => kind === 'gap')?.['lost'])).toBeGreaterThan(0);
    expect((await agent.stop()).code).toBe(0);
  }, 60_000);

  it('is bounded: a full file is renamed, and a new one begins', async () => {
    const path = join(folder, 'small.jsonl');
    const file = new AuditFile(path, { clock: systemClock, log: memoryLog() }, 2000);
    for (let round = 0; round < 5; round++) {
      for (let count = 0; count < 20; count++) file.add('command', { round, count, text: 'x'.repeat(30) });
      const { written } = file.stats;
      await until('the write', () => file.stats.written === written + 20);
    }
    await file.close();
    expect(statSync(`${path}.1`).size).toBeLessThan(4000);
    expect(existsSync(path) ? statSync(path).size : 0).toBeLessThan(2000);
    const kept = [...lines(`${path}.1`), ...lines(path)];
    expect(kept.at(-1)).toMatchObject({ round: 4, count: 19 });
    expect(kept.length).toBeGreaterThan(19);
    expect(file.stats).toMatchObject({ lost: 0, waiting: 0, written: 100 });
  });

  it('drops lines instead of using more memory while the disk does not work, and counts each', async () => {
    const log = memoryLog();
    const path = join(folder, 'none');
    writeFileSync(path, 'a file where the folder should be');
    const file = new AuditFile(join(path, 'audit.jsonl'), { clock: systemClock, log });
    for (let count = 0; count < QUEUE_LIMIT + 7; count++) file.add('command', { count });
    expect(file.stats).toEqual({ written: 0, lost: 7, waiting: QUEUE_LIMIT });
    await file.close();
    expect(log.lines.filter(({ message }) => message.startsWith('the audit log cannot be written'))).toHaveLength(1);
  });

  it('begins a new line after half a line of a killed process', async () => {
    const path = join(folder, 'torn.jsonl');
    appendFileSync(path, '{"at":1,"kind":"command"}\n{"at":2,"ki');
    const file = new AuditFile(path, { clock: systemClock, log: memoryLog() });
    file.add('start', { pid: 1 });
    await file.close();
    const text = readFileSync(path, 'utf8').split('\n');
    expect(text.slice(0, 2)).toEqual(['{"at":1,"kind":"command"}', '{"at":2,"ki']);
    expect(without(JSON.parse(text[2] ?? ''))).toEqual({ kind: 'start', pid: 1 });
  });

  it('has the security events of the log; a flood of them does not displace the rest', async () => {
    const log = memoryLog();
    const path = join(folder, 'security.jsonl');
    const file = new AuditFile(path, { clock: systemClock, log });
    let now = 0;
    const audited = withAudit(log, file, () => now);
    audited.warn({ peer: 'x' }, 'nothing special');
    for (let count = 0; count < 100; count++) audited.warn({ security: 'connection', key: 'k' }, 'refused');
    now = 60_001;
    audited.info({ security: 'login', user: 'ali' }, 'ali has logged in');
    await file.close();
    expect(log.lines).toHaveLength(102);
    expect(lines(path)).toHaveLength(31);
    expect(without(lines(path)[30] ?? {})).toEqual({
      kind: 'security',
      security: 'login',
      user: 'ali',
      message: 'ali has logged in',
      left_out: 70,
    });
  });
});
