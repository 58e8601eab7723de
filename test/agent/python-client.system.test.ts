import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, root, runToEnd } from '../support/agent-process.ts';

const script = join(root, 'examples/python/client.py');

describe('the Python client of the documentation', () => {
  let agent: AgentProcess;
  const client = (...args: string[]) => runToEnd('/usr/bin/python3', [script, agent.bus, ...args]);

  beforeAll(async () => {
    agent = await AgentProcess.start(`
board: mock
pins:
  green-led: { gpio: GPIO17, direction: out, initial: false, safe: false }
`);
  });
  afterAll(async () => {
    await agent?.stop();
  });

  it('is some 30 lines long', () => {
    const code = readFileSync(script, 'utf8')
      .split('\n')
      .filter((line) => line.trim() !== '');
    expect(code.length).toBeLessThanOrEqual(40);
  });

  it('reads a report and sets a pin', async () => {
    expect(await client('green-led', 'true')).toMatchObject({
      code: 0,
      stdout: 'green-led = False (good)\ngreen-led = True (good)\n',
    });
    expect(await agent.report('green-led')).toMatchObject({ val: true });
  });

  it('is told why a value is refused', async () => {
    const { code, stderr } = await client('green-led', '"banana"');
    expect(code).toBe(1);
    expect(stderr).toContain('banana');
  });
});
