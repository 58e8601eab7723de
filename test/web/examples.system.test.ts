import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { extname, join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { newToken } from '../../src/web/auth/credentials.ts';
import { root } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';
import { launchBrowser } from './browser.ts';
import { WebAgent } from './web-agent.ts';

const operator = newToken();
let web: WebAgent;
let site: Server;
let origin: string;

beforeAll(async () => {
  const port = await freePort();
  origin = `http://localhost:${port}`;
  web = await WebAgent.start(
    `web: { listen: "127.0.0.1:0", origins: ["${origin}"], users: { panel: { role: operate, token: ${operator.hash} } } }`,
  );
  // Another web server, with the example and the packaged client.
  site = createServer((request, response) => {
    const name = new URL(request.url ?? '/', origin).pathname.slice(1) || 'index.html';
    if (!['index.html', 'lamp.js', 'web-client.js'].includes(name)) {
      response.writeHead(404).end();
      return;
    }
    const folder = name === 'web-client.js' ? 'dist/src/web/client' : 'examples/browser';
    const type = extname(name) === '.js' ? 'text/javascript' : 'text/html';
    response.writeHead(200, { 'content-type': type }).end(readFileSync(join(root, folder, name)));
  }).listen(port, '127.0.0.1');
});
afterAll(async () => {
  site.close();
  await web.stop();
});

describe('examples', () => {
  it('the page of examples/browser, served from elsewhere, shows a pin and commands it with a token', async () => {
    const browser = await launchBrowser();
    const page = await browser.newPage();
    await page.goto(`${origin}/?pin=pump&agent=${encodeURIComponent(web.url)}&token=${operator.token}`);
    await page.getByText('pump is off (good)').click();
    await page.getByText('pump is on (good)').waitFor();
    await until('the hardware', async () => (await web.agent.report('pump-seen'))['val'] === true);
    await browser.close();
  }, 30_000);
});
