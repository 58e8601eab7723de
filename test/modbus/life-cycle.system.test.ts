import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';
import { FaultySlave } from './faulty-slave.ts';

const slave = new FaultySlave();
let agent: AgentProcess;

beforeAll(async () => {
  const port = await slave.listen();
  // Register 6 can be written and not read.
  slave.script = ({ fn, pdu }) =>
    fn === 3 && pdu.readUInt16BE(1) === 6 ? { do: 'exception', code: 2 } : { do: 'answer' };
  agent = await AgentProcess.start(`
ports: { plc: { driver: modbus, tcp: "127.0.0.1:${port}", poll: 1h, timeout: 1s } }
pins:
  speed: { port: plc, holding: 4, direction: out, safe: 0 }
  blind: { port: plc, holding: 6, direction: out, safe: 0 }
`);
});
afterAll(async () => {
  await agent?.stop();
  await slave.close();
});

async function fate(pin: string): Promise<unknown> {
  const { output } = await agent.report(pin);
  const command = typeof output === 'object' && output !== null && 'command' in output ? output.command : undefined;
  return typeof command === 'object' && command !== null && 'state' in command ? command.state : undefined;
}

describe('the outcome of a command to a Modbus device is reported on the bus', () => {
  it('verified: written and read back', async () => {
    expect((await agent.cli('set', 'speed', '5')).code).toBe(0);
    expect(slave.written.get(4)).toBe(5);
    expect(await fate('speed')).toBe('verified');
    expect(await agent.report('speed')).toMatchObject({ val: 5, quality: 'good' });
  });

  it('written: acknowledged by a device that cannot be read back', async () => {
    expect((await agent.cli('set', 'blind', '7')).code).toBe(0);
    expect(slave.written.get(6)).toBe(7);
    expect(await fate('blind')).toBe('sent');
  });

  it('failed: the device refuses, or has something else afterwards', async () => {
    const script = slave.script;
    slave.script = (request) => (request.fn === 6 ? { do: 'exception', code: 3 } : script(request));
    const refused = await agent.cli('set', 'speed', '8');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/does not take this value/);
    expect(await fate('speed')).toBe('failed');
    expect(slave.written.get(4)).toBe(5);
    slave.script = (request) => {
      // The device limits what it was given.
      if (request.fn === 3 && request.pdu.readUInt16BE(1) === 4) slave.written.set(4, 50);
      return script(request);
    };
    await agent.cli('set', 'speed', '80');
    expect(await fate('speed')).toBe('failed');
    expect(await agent.report('speed')).toMatchObject({ val: 50 });
    slave.script = script;
  });

  it('unknown: no answer, and the value is doubtful from then on', async () => {
    const script = slave.script;
    slave.script = (request) => (request.fn === 6 ? { do: 'silent' } : script(request));
    const lost = await agent.cli('set', 'speed', '9');
    expect(lost.code).not.toBe(0);
    expect(lost.stderr).toMatch(/no answer within 1000 ms/);
    expect(await fate('speed')).toBe('unknown');
    expect(await agent.report('speed')).toMatchObject({ quality: 'uncertain' });
    slave.script = script;
    await until(
      'a later command to be verified',
      async () => {
        await agent.cli('set', 'speed', '10');
        return (await fate('speed')) === 'verified';
      },
      20_000,
    );
  });
});
