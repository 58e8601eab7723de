import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { loadFdPassing } from '../../src/guardian/fd-passing.ts';
import { decoder, encode, isFromGuardian } from '../../src/guardian/messages.ts';
import { PreviousGuardians } from '../../src/guardian/previous-guardians.ts';
import { agentIdentity, socketPath } from '../../src/guardian/takeover-socket.ts';
import { cli, root } from '../support/agent-process.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

/** Hardware that is a file: driven by what is written to it, held while it is open. */
const EXECUTOR = `import { closeSync, writeSync } from 'node:fs';
export const prepare = async (plan, context, descriptors) => ({
  get holds() { return descriptors.length > 0; },
  attempt: async () => void writeSync(descriptors[0], plan.safe),
  handOver: () => ({ plan, descriptors: [...descriptors] }),
  release: async () => { for (const fd of descriptors.splice(0)) closeSync(fd); },
});`;

let folder = '';
let guardian: ChildProcess;
let told: string[] = [];
let hardware = '';
beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'dcs-io-guardian-')));
  hardware = join(folder, 'hardware');
  writeFileSync(join(folder, 'dcs-io.yaml'), 'node: hall\nboard: none\nports: { sim: { driver: mock } }\n');
  writeFileSync(join(folder, 'executor.mjs'), EXECUTOR);
  await spawnGuardian();
});
afterEach(() => {
  guardian.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const identity = () => agentIdentity(join(folder, 'dcs-io.yaml'), 'hall');
const env = () => ({ ...process.env, RUNTIME_DIRECTORY: folder });
const hear = () => {
  const pipe = guardian.stdio[3];
  if (pipe instanceof Socket) return pipe;
  throw new Error('no pipe');
};
/** Whether the guardian has the hardware open. */
const holds = () => {
  const fds = `/proc/${guardian.pid}/fd`;
  return (
    existsSync(fds) &&
    readdirSync(fds).some((fd) => existsSync(`${fds}/${fd}`) && readlinkSync(`${fds}/${fd}`) === hardware)
  );
};
const driven = () => readFileSync(hardware, 'utf8');

/** A guardian of this process, as an agent starts one, that has been passed an open file. */
async function spawnGuardian(): Promise<void> {
  const passing = await loadFdPassing();
  const { own, other } = passing.pair();
  const main = join(root, 'dist/src/guardian/main.js');
  const args = [main, String(process.pid), '60000', socketPath(folder, identity(), process.pid)];
  guardian = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe', other] });
  closeSync(other);
  told = [];
  const answers = guardian.stdio[4];
  answers?.on(
    'data',
    decoder((found) => {
      if (isFromGuardian(found)) told.push(found.kind);
    }),
  );
  const fd = openSync(hardware, 'w');
  passing.send(own, [fd]);
  closeSync(fd);
  closeSync(own);
  const executor = pathToFileURL(join(folder, 'executor.mjs')).href;
  hear().write(encode({ kind: 'plan', port: 'relays', crashPlan: { executor, plan: { safe: 'safe' } }, passed: 1 }));
  await until('the guardian to be ready', () => told.includes('ready') && holds());
}

describe('the guardian process with a passed descriptor', () => {
  it('holds it after a stop of the agent and drives nothing, shows that in doctor, and releases it on dcs-io release', async () => {
    expect(holds()).toBe(true);
    hear().write(encode({ kind: 'stop' }));
    hear().end();
    await until('it to stay', () => told.includes('holding'));
    const asked = await cli(['doctor', '--bus', '127.0.0.1:1:2', '--json'], { cwd: folder, env: env() });
    expect(asked.stdout).toContain(`process ${guardian.pid} holds outputs of relays since the agent was stopped`);
    expect([holds(), driven()]).toEqual([true, '']);
    expect(await cli(['release'], { cwd: folder, env: env() })).toMatchObject({
      code: 0,
      stdout: 'released what 1 guardian(s) held\n',
    });
    await until('its end', () => guardian.exitCode === 0);
    expect(driven()).toBe('');
    expect(await cli(['release'], { cwd: folder, env: env() })).toMatchObject({ code: 0, stdout: '' });
  });

  it('drives it after a crash of its agent, holds it, and passes it on to the next agent', async () => {
    hear().destroy();
    await until('the safe state', () => driven() === 'safe');
    expect(holds()).toBe(true);
    const next = await PreviousGuardians.find(folder, identity(), systemClock, memoryLog());
    const [held] = await next.release('relays');
    expect(held?.plan).toEqual({ safe: 'safe' });
    expect(holds()).toBe(false);
    await next.finish();
    await until('its end', () => guardian.exitCode === 0);
    for (const fd of held?.descriptors ?? []) {
      expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe(hardware);
      closeSync(fd);
    }
  });

  it('does not release it while its agent runs', async () => {
    const refused = await cli(['release'], { cwd: folder, env: env() });
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain(`an agent with this configuration runs already: process ${process.pid}`);
    expect(await cli(['release', '--all'], { cwd: folder, env: env() })).toMatchObject({ code: 0 });
    expect(holds()).toBe(true);
  });

  it('releases it and ends on SIGTERM after a stop of the agent', async () => {
    hear().write(encode({ kind: 'stop' }));
    await until('it to stay', () => told.includes('holding'));
    guardian.kill('SIGTERM');
    await until('its end', () => guardian.exitCode === 0);
    expect(driven()).toBe('');
  });
});
