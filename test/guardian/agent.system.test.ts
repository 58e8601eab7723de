import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';

const agents: AgentProcess[] = [];
async function start(more = '', files: Record<string, string> = {}): Promise<AgentProcess> {
  const yaml = `guardian: 2s
ports: { sim: { driver: mock, record: hardware.jsonl } }
pins:
  pump: { port: sim, channel: pump, direction: out, initial: false, safe: false, invert: true }
  valve: { port: sim, channel: valve, direction: out, initial: false, safe: true }
  lamp: { port: sim, channel: lamp, direction: out, initial: false }
${more}`;
  const agent = await AgentProcess.start(yaml, files);
  agents.push(agent);
  await until('the guardian to be ready', () => guardianOf(agent) !== undefined && sockets(agent).length === 1);
  return agent;
}
afterEach(async () => {
  for (const agent of agents.splice(0)) {
    await agent.stop('SIGKILL');
    const guardian = guardianOf(agent);
    // Its hardware is gone with the folder; it would try for a minute.
    if (guardian !== undefined && existsSync(`/proc/${guardian}`)) process.kill(guardian, 'SIGKILL');
  }
});

interface Write {
  readonly key: string;
  readonly value: unknown;
  readonly at: number;
  readonly by: number;
}

function writes({ folder }: AgentProcess): Write[] {
  const text = readFileSync(join(folder, 'hardware.jsonl'), 'utf8');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

function levels(agent: AgentProcess): Record<string, unknown> {
  return Object.fromEntries(writes(agent).map(({ key, value }) => [key, value]));
}

/** The guardian the agent named last in its log. */
function guardianOf({ log }: AgentProcess): number | undefined {
  const found = [...log.matchAll(/"guardian":(\d+)/g)].at(-1)?.[1];
  return found === undefined ? undefined : Number(found);
}

function sockets({ folder }: AgentProcess): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.guard'));
}

const now = () => Number(process.hrtime.bigint()) / 1e6;
const ON = { pump: false, valve: false, lamp: true };
const SAFE = { pump: true, valve: true, lamp: true };

async function drive(agent: AgentProcess): Promise<void> {
  expect(await agent.cli('set', 'pump', 'on')).toMatchObject({ code: 0 });
  expect(await agent.cli('set', 'lamp', 'on')).toMatchObject({ code: 0 });
  expect(levels(agent)).toEqual(ON);
}

describe('the guardian', () => {
  it('drives outputs to their safe state when the agent is killed, and leaves one without a safe value', async () => {
    const agent = await start();
    await drive(agent);
    const killed = now();
    agent.child.kill('SIGKILL');
    await until('the safe state', () => levels(agent)['valve'] === true);
    expect(levels(agent)).toEqual(SAFE);
    const last = writes(agent).filter(({ by }) => by !== agent.child.pid);
    expect(last.map(({ key }) => key).sort()).toEqual(['pump', 'valve']);
    expect((last.at(-1)?.at ?? 0) - killed).toBeLessThan(2000);
  });

  it('kills an agent that is stopped (SIGSTOP), and makes its outputs safe within the declared time', async () => {
    const agent = await start();
    await drive(agent);
    const stopped = now();
    agent.child.kill('SIGSTOP');
    await until('the safe state', () => levels(agent)['valve'] === true, 10_000);
    expect(levels(agent)).toEqual(SAFE);
    const ended = writes(agent).at(-1)?.at ?? 0;
    expect(ended - stopped).toBeGreaterThan(700);
    expect(ended - stopped).toBeLessThan(2000);
    await until('the end of the hung agent', () => agent.child.signalCode === 'SIGKILL');
  });

  it('takes a blocked event loop for a hang', async () => {
    const agent = await start('actors: [./busy.js]', {
      'busy.js': `import { Actor } from 'dcs-io';
export default class extends Actor {
  constructor() { super('busy'); this.onReport('lamp', ({ val }) => { if (val === true) for (;;); }); }
}`,
    });
    await agent.cli('set', 'pump', 'on');
    void agent.cli('set', 'lamp', 'on', '--timeout', '10');
    await until('the safe state', () => levels(agent)['valve'] === true, 10_000);
    expect(levels(agent)).toEqual(SAFE);
  });

  it('does nothing after a stop of the agent, and ends with it', async () => {
    const agent = await start();
    await drive(agent);
    const guardian = guardianOf(agent);
    const before = writes(agent);
    agent.child.kill('SIGTERM');
    await until('the end of the agent', () => agent.child.exitCode === 0);
    expect(existsSync(`/proc/${guardian}`)).toBe(false);
    const pid = agent.child.pid;
    expect(
      writes(agent)
        .slice(before.length)
        .every(({ by }) => by === pid),
    ).toBe(true);
    expect(sockets(agent)).toEqual([]);
  });

  it('is restarted when it is killed, and still does its work', async () => {
    const agent = await start();
    await drive(agent);
    const first = guardianOf(agent);
    process.kill(first ?? 0, 'SIGKILL');
    // It need not even be ready.
    const second = await until('a new guardian', () => guardianOf(agent) !== first && guardianOf(agent));
    expect(agent.log).toContain('restarting the guardian');
    expect(levels(agent)).toEqual(ON);
    agent.child.kill('SIGKILL');
    await until('the safe state', () => levels(agent)['valve'] === true);
    expect(writes(agent).at(-1)?.by).toBe(second);
  });

  it('ignores Ctrl-C and SIGTERM while its agent runs', async () => {
    const agent = await start();
    await drive(agent);
    const guardian = guardianOf(agent) ?? 0;
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.kill(guardian, signal);
    agent.child.kill('SIGKILL');
    await until('the safe state', () => levels(agent)['valve'] === true);
    expect(writes(agent).at(-1)?.by).toBe(guardian);
  });

  it('takes less than 45 MB of memory of its own, and loads neither zod nor zeromq', async () => {
    const agent = await start();
    const guardian = guardianOf(agent);
    const maps = readFileSync(`/proc/${guardian}/smaps_rollup`, 'utf8');
    const kB = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(maps)?.[1]);
    expect(kB('Pss')).toBeLessThan(45_000);
    expect(kB('Private_Clean') + kB('Private_Dirty')).toBeLessThan(30_000);
    expect(readFileSync(`/proc/${guardian}/maps`, 'utf8')).not.toContain('zeromq');
  });
});
