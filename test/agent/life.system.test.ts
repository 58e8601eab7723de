import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess, cliFile, LineReader } from '../support/agent-process.ts';
import { Observer } from '../support/observer.ts';
import { until } from '../support/wait.ts';

const agents: AgentProcess[] = [];
async function start(yaml: string, files?: Record<string, string>): Promise<AgentProcess> {
  const agent = await AgentProcess.start(yaml, files);
  agents.push(agent);
  return agent;
}
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop('SIGKILL');
});

const LOOP = `
ports:
  sim: { driver: mock, loopback: [[pump, pump-seen]] }
  slow: { driver: mock, latency: 5s }
pins:
  pump: { port: sim, channel: pump, direction: out, initial: false, safe: false }
  pump-seen: { port: sim, channel: pump-seen }
  slow: { port: slow, channel: slow, direction: out, initial: false, safe: false }
`;

describe('the agent as a process', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    '%s ends it with code 0 within 2 s, although a port hangs',
    async (signal) => {
      const agent = await start(LOOP);
      void agent.cli('set', 'slow', 'on', '--timeout', '0.5');
      await agent.cli('set', 'pump', 'on');
      const { code, ms } = await agent.stop(signal);
      expect(code).toBe(0);
      expect(ms).toBeLessThan(2000);
    },
  );

  it('actors that throw, cannot be loaded or hang harm only themselves', async () => {
    const agent = await start(`${LOOP}\nactors: [./throws.js, ./syntax.js, ./hangs.ts, ./good.ts]`, {
      'throws.js': `import { Actor } from 'dcs-io';
export default class extends Actor {
  constructor() { super('throws'); this.every(5, () => { throw new Error('on purpose'); }); }
}`,
      'syntax.js': 'export default class { this is no javascript',
      'hangs.ts': `import { Actor } from 'dcs-io';
export default class Hangs extends Actor {
  readonly label: string = 'hangs';
  constructor() { super('hangs'); this.on('IoMessage', () => new Promise<void>(() => {})); }
}`,
      'good.ts': `import { Actor, type IoMessage } from 'dcs-io';
export default class Good extends Actor {
  constructor() { super('good'); this.onReport('pump', (report: IoMessage) => { this.send({ Echo: { pump: report.val } }); }); }
}`,
    });
    expect(agent.log).toContain('the actor');
    await until('the restart of the failing actor', () => agent.log.includes('actor is restarted'));
    expect(await agent.cli('set', 'pump', 'on')).toMatchObject({ code: 0 });
    expect(await agent.report('pump-seen')).toMatchObject({ val: true });
    const { code, ms } = await agent.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2000);
  });

  it('an uncaught error in a timer or a promise of an actor is logged, and the agent goes on', async () => {
    const agent = await start(`${LOOP}\nactors: [./stray.js]`, {
      'stray.js': `import { Actor } from 'dcs-io';
export default class extends Actor {
  constructor() { super('stray'); }
  onStart() {
    setTimeout(() => { throw new Error('from a timer'); }, 20);
    Promise.reject(new Error('from a promise'));
  }
}`,
    });
    await until('both errors', () => agent.log.includes('from a timer') && agent.log.includes('from a promise'));
    expect(await agent.cli('set', 'pump', 'on')).toMatchObject({ code: 0 });
    expect(await agent.stop()).toMatchObject({ code: 0 });
  });

  it('ends although an actor keeps its own timer running', async () => {
    const agent = await start(`${LOOP}\nactors: [./timer.js]`, {
      'timer.js': `import { Actor } from 'dcs-io';
export default class extends Actor { constructor() { super('timer'); setInterval(() => {}, 1000); } }`,
    });
    expect(await agent.stop()).toMatchObject({ code: 0 });
  });

  it('stops with safe outputs when uncaught errors do not end', async () => {
    const agent = await start(`${LOOP}\nactors: [./flood.js]`, {
      'flood.js': `import { Actor } from 'dcs-io';
export default class extends Actor {
  constructor() { super('flood'); this.on('Flood', () => { setInterval(() => { throw new Error('flood'); }, 1); }); }
}`,
    });
    const observer = await new Observer(agent.bus).start();
    await observer.actor.request({ IoMessage: { pin_name: 'pump', val: true } });
    observer.actor.send({ Flood: {} });
    await until('the end', () => agent.child.exitCode !== null);
    expect(agent.child.exitCode).toBe(1);
    await observer.report('pump', ({ val }) => val === false);
    await observer.stop();
  });

  it('hardware that this machine does not have is skipped with the reason, and the rest runs', async () => {
    const agent = await start(`${LOOP}
  button: { gpio: GPIO17 }
board: raspberry-pi-4b
`);
    const missing = await agent.report('button');
    expect(missing).toMatchObject({
      quality: 'bad',
      val: null,
      reason: expect.stringMatching(/PORT_SKIPPED.*pinctrl-bcm2711/),
    });
    expect(await agent.cli('set', 'pump', 'on')).toMatchObject({ code: 0 });
  });

  it('outputs reach their exit value before the process ends', async () => {
    const agent = await start(LOOP);
    const watch = new LineReader(process.execPath, [cliFile, 'watch', '--json', '--bus', agent.bus, 'pump']);
    await watch.line('"pump"');
    await agent.cli('set', 'pump', 'on');
    await watch.line('"val":true');
    watch.lines.splice(0);
    expect(await agent.stop()).toMatchObject({ code: 0 });
    expect(JSON.parse(await watch.line('"val":false'))).toMatchObject({ pin_name: 'pump', quality: 'good' });
    await watch.stop();
  });
});
