import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess, cliFile, LineReader } from '../support/agent-process.ts';
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

  it('an actor that throws, one that cannot be loaded and one that hangs take nothing else down', async () => {
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
