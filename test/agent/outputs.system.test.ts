import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess } from '../support/agent-process.ts';
import { Observer } from '../support/observer.ts';
import { until } from '../support/wait.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});
async function start(...given: Parameters<typeof AgentProcess.start>): Promise<AgentProcess> {
  const agent = await AgentProcess.start(...given);
  ends.push(() => agent.stop('SIGKILL'));
  return agent;
}
function stateFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-state-'));
  ends.push(async () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const LAMP = (folder: string) => `
state: ${folder}
pins:
  lamp: { virtual: bool, initial: last, safe: off }
  pump: { virtual: bool, initial: off, safe: off }
`;

describe('after kill -9 and a restart', () => {
  it('an output with initial: last has its last value, and an override is still in force and shown', async () => {
    const folder = stateFolder();
    const first = await start(LAMP(folder));
    expect(await first.cli('set', 'lamp', 'on')).toMatchObject({ code: 0 });
    const file = join(folder, 'tested.outputs.json');
    await until('the state on the disk', () => {
      const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
      return text.includes('"lamp":true');
    });
    const overridden = await first.cli('override', 'pump', 'on', '--for', '10m');
    expect(overridden.stdout).toMatch(/^pump {2}on {2}overridden by \S+@\S+ until \d\d:\d\d:\d\d$/m);
    // Once it has been answered it is on the disk.
    await first.stop('SIGKILL');
    const second = await start(LAMP(folder));
    expect(await second.report('lamp')).toMatchObject({ val: true, output: { by: 'start' } });
    expect(await second.report('pump')).toMatchObject({ val: true, output: { by: 'override' } });
    expect(await second.cli('set', 'pump', 'off')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('pump is overridden by hand'),
    });
    expect((await second.cli('pins')).stdout).toMatch(/pump +on .*overridden by/);
    expect(await second.cli('override', 'pump', '--end')).toMatchObject({ code: 0 });
    expect(await second.report('pump')).toMatchObject({ val: false });
    expect(await second.cli('set', 'pump', 'on')).toMatchObject({ code: 0 });
  });

  it('a damaged state file means the safe value and a warning', async () => {
    const folder = stateFolder();
    writeFileSync(join(folder, 'tested.outputs.json'), '{"version":1,"last":{"lamp":tr');
    const agent = await start(LAMP(folder));
    expect(await agent.report('lamp')).toMatchObject({ val: false });
    expect(agent.log).toContain('outputs.json is damaged');
  });
});

describe('an output whose controller is another node', () => {
  it.each(['SIGKILL', 'SIGSTOP'] as const)('is safe long before a heartbeat is missed: %s', async (signal) => {
    const agent = await start('pins:\n  lamp: { virtual: bool, initial: off, safe: off, controller: hall }\n');
    const hall = await start('pins: { x: { virtual: bool } }', {}, {}, { node: 'hall', beside: agent });
    const observer = await new Observer(agent.bus).start();
    ends.push(() => observer.stop());
    await until('the nodes to know each other', async () => {
      observer.seen.splice(0);
      observer.actor.send({ UpdateIoMessage: {} });
      await observer.report('x', () => true, 1000).catch(() => undefined);
      return observer.seen.some(({ name }) => name === 'hall');
    });
    await observer.actor.request({ IoMessage: { pin_name: 'lamp', val: true } });
    observer.seen.splice(0);
    hall.child.kill(signal);
    await observer.report('lamp', ({ val }) => val === false, 5000);
    expect(await agent.report('lamp')).toMatchObject({ output: { by: 'safe', why: 'hall is not there' } });
    await expect(observer.actor.request({ IoMessage: { pin_name: 'lamp', val: true } })).rejects.toMatchObject({
      code: 'SAFE_STATE',
    });
    // A process that is stopped by SIGSTOP cannot stop its agent.
    hall.child.kill('SIGKILL');
  });
});

describe('an output with rearm: manual', () => {
  it('is locked in its safe state after a lease until dcs-io rearm, and pins shows why', async () => {
    const agent = await start('pins: { lamp: { virtual: bool, safe: off, rearm: manual } }\n');
    await agent.cli('set', 'lamp', 'on', '--hold', '0.05');
    await until('the end of the lease', async () => (await agent.report('lamp'))['val'] === false);
    expect(await agent.cli('set', 'lamp', 'on')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('kept safe until it is rearmed: the lease ended'),
    });
    expect((await agent.cli('pins')).stdout).toMatch(/lamp .*safe: the lease ended; it waits to be rearmed/);
    expect(await agent.cli('rearm', 'lamp')).toMatchObject({ code: 0 });
    expect(await agent.cli('set', 'lamp', 'on')).toMatchObject({ code: 0 });
  });
});

describe('the sender of the last command', () => {
  it('is in the report: an actor of this agent by its name, with the result of the command', async () => {
    const agent = await start('pins: { lamp: { virtual: bool }, go: { virtual: bool } }\nactors: [./hall.js]\n', {
      'hall.js': `import { Actor } from 'dcs-io';
export default class extends Actor {
  constructor() { super('hall'); this.onReport('go', ({ val }) => this.send({ IoMessage: { pin_name: 'lamp', val } })); }
}`,
    });
    await agent.cli('set', 'go', 'on');
    const report = await until('the lamp', async () => {
      const found = await agent.report('lamp');
      return found['val'] === true && found;
    });
    expect(report).toMatchObject({
      output: {
        desired: true,
        by: 'command',
        command: { node: 'tested', actor: 'hall', state: 'verified', val: true },
      },
    });
    expect((await agent.cli('pins')).stdout).toMatch(/lamp .*verified, by hall@tested/);
  });
});
