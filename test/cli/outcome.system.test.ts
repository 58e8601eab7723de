import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { connect } from '../../src/mesh/light-client.ts';
import { WebClient } from '../../src/web/client/web-client.ts';
import { AgentProcess } from '../support/agent-process.ts';

/** A driver whose registers do what their address says: keep their value, refuse, or never say whether they took it. */
const STUBBORN = `import { z } from '${import.meta.resolve('zod')}';
const reading = (value) => ({ ok: true, value });
export default {
  contract: 1,
  name: 'stubborn',
  summary: 'registers that do not do what they are told',
  options: z.strictObject({}),
  pin: z.strictObject({ does: z.string() }),
  describe: ({ does }) => ({ key: does, kind: 'analog', directions: ['in', 'out'] }),
  async open(options, channels, { changed }) {
    const { DcsError } = await import('dcs-io/driver');
    for (const channel of channels) changed(channel, reading(5));
    return { kind: 'port', port: {
      read: async (asked) => asked.map(() => reading(5)),
      async write({ address }, value) {
        if (address.does === 'refuse') throw new DcsError('DEVICE_REFUSED', 'the device does not take this value');
        if (address.does === 'be silent') throw new DcsError('TIMEOUT', 'no answer');
        return { readBack: address.does === 'keep' ? 5 : value };
      },
      close: async () => undefined,
    } };
  },
};
`;

describe('the outcome of a command', () => {
  let agent: AgentProcess;
  let url = '';

  beforeAll(async () => {
    agent = await AgentProcess.start(
      `
drivers: [./stubborn.mjs]
web: { listen: "127.0.0.1:0" }
ports: { dev: { driver: stubborn } }
pins:
  taken: { port: dev, does: take, direction: out, safe: hold }
  kept: { port: dev, does: keep, direction: out, safe: hold, range: [0, 9] }
  refused: { port: dev, does: refuse, direction: out, safe: hold }
  silent: { port: dev, does: be silent, direction: out, safe: hold }
`,
      { 'stubborn.mjs': STUBBORN },
    );
    url = /"url":"([^"]+)"/.exec(agent.log)?.[1] ?? '';
  });
  afterAll(async () => {
    await agent?.stop();
  });

  it.each([
    ['taken', 0, /^$/],
    ['kept', 1, /kept: the hardware accepted 7, but it has 5 now/],
    ['refused', 1, /the device does not take this value/],
    ['silent', 3, /silent: no answer.*; whether it took effect is unknown/],
  ])('of %s decides about the exit code of set and override: %i', async (pin, code, reason) => {
    for (const words of [
      ['set', pin, '7'],
      ['override', pin, '7', '--for', '1s'],
    ]) {
      const done = await agent.cli(...words);
      expect(done).toMatchObject({ code, stderr: expect.stringMatching(reason) });
      if (code > 0) expect(done.stdout).toBe('');
      await agent.cli('override', pin, '--end');
    }
  });

  it('of a failed command: --json prints the report with the value that the hardware has', async () => {
    const { code, stdout } = await agent.cli('set', 'kept', '7', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ val: 5, output: { command: { val: 7, state: 'failed' } } });
  });

  it('of a command out of range is a refusal', async () => {
    expect(await agent.cli('set', 'kept', '10')).toMatchObject({ code: 1, stderr: expect.stringContaining('0 to 9') });
  });

  it.each([
    ['taken', 200, undefined],
    ['kept', 502, 'NOT_TAKEN'],
    ['refused', 502, 'DEVICE_REFUSED'],
    ['silent', 504, 'TIMEOUT'],
  ])('of %s over HTTP: %i %s', async (pin, status, code) => {
    const response = await fetch(new URL(`/api/pins/${pin}`, url), {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ val: 7 }),
    });
    const body: unknown = await response.json();
    expect({ status: response.status, body }).toMatchObject({
      status,
      body: code === undefined ? { val: 7 } : { code },
    });
  });

  it('reaches a WebSocket and a light client with its code', async () => {
    const web = new WebClient(url, { WebSocket });
    await web.ready();
    await using light = await connect({ bus: agent.bus });
    for (const [pin, code] of [
      ['kept', 'NOT_TAKEN'],
      ['refused', 'DEVICE_REFUSED'],
      ['silent', 'TIMEOUT'],
    ] as const) {
      await expect(web.set(pin, 7)).rejects.toMatchObject({ code });
      await expect(light.set(pin, 7)).rejects.toMatchObject({ code });
    }
    expect(await web.set('taken', 7)).toMatchObject({ val: 7 });
    expect(await light.set('taken', 8)).toMatchObject({ val: 8 });
    web.close();
  });
});
