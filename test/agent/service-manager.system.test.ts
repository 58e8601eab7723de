import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventLoopMonitor, HealthMonitor } from '../../src/agent/health.ts';
import { managerEnv, ServiceManager } from '../../src/agent/service-manager.ts';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Supervisor } from '../../src/bus/supervisor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { AgentProcess, LineReader } from '../support/agent-process.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

const script = fileURLToPath(new URL('./notify-listener.py', import.meta.url));
const PINS = `ports: { sim: { driver: mock } }
pins: { pump: { port: sim, channel: pump, direction: out, initial: false, safe: false } }
`;
let folder = '';
let listener: LineReader | undefined;
let agent: AgentProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-notify-'));
});
afterEach(async () => {
  await agent?.stop('SIGKILL');
  await listener?.stop();
  agent = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function listen(path: string): Promise<LineReader> {
  listener = new LineReader('/usr/bin/python3', [script, path]);
  await listener.line('listening');
  return listener;
}

interface Told {
  readonly text: string;
  readonly pid: number;
  readonly at: number;
}
async function told(from: LineReader, text: string, limitMs?: number): Promise<Told> {
  return JSON.parse(await from.line(text, limitMs));
}

describe('the service manager', () => {
  it.each(['a path', 'an abstract name'])(
    'is notified over a real socket (%s) of start, watchdog and stop',
    async (kind) => {
      const path = kind === 'a path' ? join(folder, 'notify') : `@${folder}`;
      const manager = await listen(path);
      agent = await AgentProcess.start(PINS, {}, { NOTIFY_SOCKET: path, WATCHDOG_USEC: '600000' });
      const ready = await told(manager, 'READY=1');
      expect(ready.text).toBe('READY=1\nSTATUS=1 pins, 1 ports');
      // Itself, not a helper: NotifyAccess=main is enough.
      expect(ready.pid).toBe(agent.child.pid);
      const first = await told(manager, 'WATCHDOG=1');
      const third = await told(manager, 'WATCHDOG=1').then(() => told(manager, 'WATCHDOG=1'));
      expect(third.at - first.at).toBeGreaterThan(300);
      expect(third.at - first.at).toBeLessThan(1200);
      agent.child.kill('SIGTERM');
      expect((await told(manager, 'STOPPING=1')).text).toContain('STATUS=stopping');
      const { child } = agent;
      await until('its end', () => child.exitCode === 0);
    },
  );

  it('gets no keep-alive while the event loop is blocked', async () => {
    const path = join(folder, 'notify');
    const manager = await listen(path);
    agent = await AgentProcess.start(
      `${PINS}actors: [./busy.js]`,
      {
        'busy.js': `import { Actor } from 'dcs-io';
export default class extends Actor {
  constructor() { super('busy'); this.onReport('pump', ({ val }) => { if (val === true) for (;;); }); }
}`,
      },
      { NOTIFY_SOCKET: path, WATCHDOG_USEC: '300000' },
    );
    await told(manager, 'WATCHDOG=1');
    await agent.cli('set', 'pump', 'on', '--timeout', '0.5');
    manager.lines.splice(0);
    // Ten periods in which a living agent would have fed it thirty times.
    await expect(manager.line('WATCHDOG=1', 3000)).rejects.toThrow('in vain');
  });

  it('is optional: an agent whose service manager does not answer starts all the same', async () => {
    agent = await AgentProcess.start(PINS, {}, { NOTIFY_SOCKET: join(folder, 'nobody'), WATCHDOG_USEC: '600000' });
    expect(agent.log).toContain('the service manager is not notified');
    expect(agent.log).not.toContain('"level":60');
  });

  it('is named by the environment; the watchdog of another process gets no keep-alive', () => {
    expect(managerEnv({}, 7)).toBeUndefined();
    expect(managerEnv({ NOTIFY_SOCKET: '@x' }, 7)).toEqual({ socket: '@x', watchdogMs: undefined });
    const env = { NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '10000000' };
    expect(managerEnv(env, 7)?.watchdogMs).toBe(10_000);
    expect(managerEnv({ ...env, WATCHDOG_PID: '7' }, 7)?.watchdogMs).toBe(10_000);
    expect(managerEnv({ ...env, WATCHDOG_PID: '8' }, 7)?.watchdogMs).toBeUndefined();
  });
});

describe('health', () => {
  it('the watchdog gets keep-alives while actors work or are restarted, not while one hangs with waiting messages', async () => {
    const clock = new ManualClock();
    const log = memoryLog();
    const bus = new Bus({ clock });
    const supervisor = new Supervisor(bus, log);
    let free = () => {};
    await supervisor.add('throws', () => {
      const actor = new Actor('throws');
      actor.on('Work', () => {
        throw new Error('on purpose');
      });
      return actor;
    });
    await supervisor.add('hangs', () => {
      const actor = new Actor('hangs');
      actor.on('Work', () => new Promise<void>((resolve) => (free = resolve)));
      return actor;
    });
    const health = new HealthMonitor({ supervisors: [supervisor], ports: new Map(), pins: 2, clock, log });
    const sent: string[] = [];
    const socket = { send: (text: string) => void sent.push(text), close() {} };
    const manager = new ServiceManager(socket, health, { clock, log, watchdogMs: 3000 });
    manager.ready();
    const user = new Actor('user');
    bus.join(user);
    const feeds = () => sent.splice(0).filter((text) => text === 'WATCHDOG=1').length;
    await clock.advance(10_000);
    expect(feeds()).toBe(11);
    for (let count = 0; count < 5; count++) user.send({ Work: {} });
    // Under way, with others behind it: 60 s are granted.
    await clock.advance(60_000);
    expect(feeds()).toBe(60);
    await clock.advance(10_000);
    const [status] = sent.splice(0).filter((text) => text.startsWith('STATUS'));
    expect(status).toMatch(/^STATUS=hangs has been at one message for 6\d s$/);
    expect(feeds()).toBe(0);
    expect(log.lines.filter(({ message }) => message.includes('no more keep-alives'))).toHaveLength(1);
    free();
    await clock.advance(3000);
    expect(feeds()).toBeGreaterThan(1);
    manager.stopping();
    expect(sent.at(-1)).toBe('STOPPING=1\nSTATUS=stopping\nWATCHDOG=1');
    await clock.advance(10_000);
    expect(feeds()).toBe(0);
  });

  it('delays of the event loop are counted, the longest is reported, and long ones are logged, but not again and again', async () => {
    const clock = new ManualClock();
    const log = memoryLog();
    const watch = new EventLoopMonitor(clock, log);
    let late = 0;
    const { now } = clock;
    clock.now = () => now.call(clock) + late;
    watch.start();
    await clock.advance(1000);
    expect(watch.stats).toEqual({ delay_max_ms: 0, delays: 0 });
    const delay = async (ms: number) => {
      late += ms;
      await clock.advance(200);
    };
    await delay(150);
    expect(watch.stats).toEqual({ delay_max_ms: 150, delays: 1 });
    expect(log.lines).toEqual([]);
    for (const ms of [700, 800, 900]) await delay(ms);
    expect(watch.stats).toEqual({ delay_max_ms: 900, delays: 4 });
    expect(log.lines.map(({ detail }) => detail)).toEqual([{ delayMs: 700 }]);
    await clock.advance(10_000);
    await delay(600);
    expect(log.lines.at(-1)?.detail).toEqual({ delayMs: 600, suppressed: 2 });
    // Far worse than what was told a moment ago.
    await delay(1300);
    expect(log.lines.at(-1)?.detail).toEqual({ delayMs: 1300 });
    await clock.advance(130_000);
    expect(watch.stats).toEqual({ delay_max_ms: 0, delays: 6 });
    watch.stop();
  });

  it('a busy actor shows in the stats of a real process', async () => {
    agent = await AgentProcess.start(`${PINS}actors: [./busy.js]`, {
      'busy.js': `import { Actor } from 'dcs-io';
export default class extends Actor {
  constructor() {
    super('busy');
    this.onReport('pump', ({ val }) => { for (const end = Date.now() + 800; val === true && Date.now() < end; ); });
  }
}`,
    });
    await agent.cli('set', 'pump', 'on');
    const { log } = agent;
    const { child } = agent;
    await until('the warning', () => agent?.log.includes('event loop blocked for'));
    expect(log).not.toContain('"level":50');
    const told = await agent.cli('status', '--json');
    expect(JSON.parse(told.stdout)).toMatchObject({ pins: 1, loop_delay: expect.any(Number) });
    expect(JSON.parse(told.stdout).loop_delay).toBeGreaterThan(0.5);
    expect((await agent.cli('status')).stdout).toMatch(/ HELD +DELAY\n.* \d\.\d+ s/);
    child.kill('SIGTERM');
    await until('the stats', () => agent?.log.includes('"msg":"stopped"'));
    const stats = JSON.parse(agent.log.split('\n').find((line) => line.includes('"msg":"stopped"')) ?? '');
    expect(stats.loop.delays).toBeGreaterThanOrEqual(1);
    expect(stats.loop.delay_max_ms).toBeGreaterThan(500);
  });
});
