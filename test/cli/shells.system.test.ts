import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, cliFile, runToEnd } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';

/** The shells themselves complete a line, with an agent on the bus. */
describe('completion in the shells', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-shells-'));
  let agent: AgentProcess;

  beforeAll(async () => {
    mkdirSync(join(folder, 'bin'));
    const program = join(folder, 'bin/dcs-io');
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${cliFile}' "$@"\n`);
    chmodSync(program, 0o755);
    writeFileSync(join(folder, 'a plant.yaml'), '');
    agent = await AgentProcess.start(`
board: mock
pins: { pump-1: { gpio: GPIO1 }, pump-2: { gpio: GPIO2 }, tank.level: { gpio: GPIO3 } }
`);
  });
  afterAll(async () => {
    await agent?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function shell(name: string, args: readonly string[], script: string): Promise<string[]> {
    const env = { ...process.env, HOME: folder, PATH: `${folder}/bin:${process.env['PATH']}`, DCS_IO_BUS: agent.bus };
    const { stdout, stderr } = await runToEnd(name, [...args, '-c', script], { cwd: folder, env });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((line) => line !== '');
  }

  const bash = (line: string) =>
    shell(
      'bash',
      ['--norc'],
      `compopt() { :; }; source <(dcs-io completion bash); COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; _dcs_io; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
  const fish = async (line: string) =>
    (await shell('fish', ['--no-config'], `dcs-io completion fish | source; complete -C '${line}'`)).map(
      (found) => found.split('\t')[0],
    );
  // The two functions that hand words to zsh's line editor say what they were handed.
  const zsh = (line: string) =>
    shell(
      'zsh',
      ['-f'],
      `compdef() { :; }; source <(dcs-io completion zsh); _files() { print -l *.yaml; }
       _describe() { for one in "\${(@P)2}"; do print -r -- "\${\${one//\\\\\\\\:/;}%%:*}"; done; }
       words=("\${(@s: :)$(print -r -- '${line}|')}"); words[-1]=\${words[-1]%|}; CURRENT=$#words; _dcs_io`,
    );

  function pinsIn(words: readonly (string | undefined)[]): readonly (string | undefined)[] | undefined {
    return words.length > 0 && words[0] !== '' ? words : undefined;
  }

  for (const [name, complete] of Object.entries({ bash, fish, zsh })) {
    it(`${name}: commands, options, pins of the agent, files`, async () => {
      expect(await complete('dcs-io prof')).toEqual(['profiles']);
      expect(await complete('dcs-io serial m')).toEqual(['monitor']);
      // A busy machine may need more than the half second after which a Tab no longer waits for an agent.
      const offered = (line: string) => until(`pins for ${line}`, async () => pinsIn(await complete(line)), 20_000);
      expect(await offered(`dcs-io set --bus ${agent.bus} pu`)).toEqual(['pump-1', 'pump-2']);
      expect(await offered('dcs-io get tank.')).toEqual(['tank.level']);
      expect(await complete('dcs-io set pump-1 on --ho')).toEqual(['--hold']);
      expect((await complete('dcs-io check -c a')).map((file) => file?.replaceAll('\\', ''))).toEqual(['a plant.yaml']);
    }, 60_000);
  }

  it('zsh loads the script unchanged', async () => {
    const script = 'autoload -Uz compinit; compinit -D -u; source <(dcs-io completion zsh); print $_comps[dcs-io]';
    expect(await shell('zsh', ['-f'], script)).toEqual(['_dcs_io']);
  });
});
