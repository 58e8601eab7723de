import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess } from '../support/agent-process.ts';

let agent: AgentProcess | undefined;
afterEach(() => agent?.stop('SIGKILL'));

const YAML = `
ports: { sim: { driver: mock } }
pins:
  a: { port: sim, channel: a, direction: out, initial: false }
  b: { port: sim, channel: b, direction: out, initial: false }
  c: { port: sim, channel: c, direction: out, initial: false }
actors: [./module.js, ./module.mjs, ./typed.ts]
`;

describe("a user's actor", () => {
  it('is JavaScript or TypeScript, with or without a package.json that says so, and extends the Actor of this process', async () => {
    agent = await AgentProcess.start(YAML, {
      // No package.json says what kind of module these are.
      'module.js': `import { switches } from './helper.js';
export default switches('a');`,
      'helper.js': `import { Actor } from 'dcs-io';
export const switches = (pin) => class extends Actor {
  constructor() { super('switches ' + pin); }
  onStart() { this.send({ IoMessage: { pin_name: pin, val: true } }); }
};`,
      'module.mjs': `import { Actor } from 'dcs-io';
export default class extends Actor { constructor() { super('mjs'); } onStart() { this.send({ IoMessage: { pin_name: 'b', val: true } }); } }`,
      'typed.ts': `import { Actor } from 'dcs-io';
export default class Typed extends Actor { private readonly pin: string = 'c'; constructor() { super('typed'); }
  override onStart(): void { this.send({ IoMessage: { pin_name: this.pin, val: true } }); } }`,
    });
    for (const pin of ['a', 'b', 'c']) {
      expect(await agent.cli('get', pin), agent.log).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('on'),
      });
    }
    expect(agent.log).not.toMatch(/left out/);
  });

  it('that throws while it is loaded is left out with its own error, and ran once', async () => {
    agent = await AgentProcess.start(YAML.replace(/actors.*/, 'actors: [./broken.js]'), {
      'broken.js': `console.error('began'); null.x;`,
    });
    expect(agent.log).toContain('broken.js cannot be loaded: Cannot read properties of null');
    expect(agent.log.match(/began/g)).toHaveLength(1);
  });
});
