import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli, root } from '../support/agent-process.ts';
import { WebAgent } from './web-agent.ts';

const text = readFileSync(join(root, 'docs/web.md'), 'utf8');
const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, block = '']) => block);

let web: WebAgent;
beforeAll(async () => {
  web = await WebAgent.start(undefined, 'pins: { green-led: { virtual: bool, direction: out, initial: false } }');
});
afterAll(() => web.stop());

/** Replaces the documented port by the free port of the test. */
const here = (example: string) => example.replaceAll('http://127.0.0.1:8080', new URL(web.url).origin);

describe('docs/web.md', () => {
  it('has a curl command that works', async () => {
    const [command = ''] = blocks('sh');
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', here(command)]);
    expect(JSON.parse(stdout)).toMatchObject({ name: 'green-led', val: true });
  });

  it('has a client example that works in Node.js, with the package ws where Node.js has no WebSocket', async () => {
    const [script = ''] = blocks('js');
    const file = join(web.agent.folder, 'client.mjs');
    const client = JSON.stringify(join(root, 'dist/src/web/client/web-client.js'));
    const socket = `import { WebSocket } from ${JSON.stringify(join(root, 'node_modules/ws/wrapper.mjs'))};\nglobalThis.WebSocket ??= WebSocket;\n`;
    writeFileSync(file, `${socket}${here(script).replace("'dcs-io/web-client'", client)}\nclient.close();\n`);
    const { stdout } = await promisify(execFile)(process.execPath, [file]);
    expect(stdout).toContain('WebSession');
    expect(stdout).toMatch(/IoMessage .*green-led/s);
  });

  it('lists every path of the API and no other', async () => {
    const { json } = await web.http('GET', '/api/openapi.json');
    const paths = Object.keys({ ...(typeof json['paths'] === 'object' ? json['paths'] : {}) });
    for (const path of paths) expect(text, path).toContain(path.replace('{name}', 'NAME'));
    const listed = [...text.matchAll(/`(?:GET|PUT) (\/[^`?]*)/g)].map(([, path = '']) =>
      path.replace('NAME', '{name}'),
    );
    expect(listed.filter((path) => !paths.includes(path))).toEqual([]);
  });

  it('dcs-io web prints lines that the configuration accepts', async () => {
    const token = await cli(['web', 'token']);
    expect(token).toMatchObject({ code: 0 });
    const { stdout } = await promisify(execFile)('/bin/sh', [
      '-c',
      `echo 'correct horse' | ${process.execPath} ${root}/dist/src/cli/main.js web password`,
    ]);
    const [line = ''] = [stdout.trim()];
    const checked = join(web.agent.folder, 'users.yaml');
    writeFileSync(
      checked,
      `web:\n  users:\n    a: { role: view, ${token.stdout.trim()} }\n    b: { role: view, ${line} }\n`,
    );
    expect(await cli(['check', '-c', checked])).toMatchObject({ code: 0 });
    const given = /Bearer (\S+)/.exec(token.stderr)?.[1] ?? '';
    expect(token.stdout).not.toContain(given);
  });
});
