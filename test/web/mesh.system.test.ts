import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { inside, Lab } from '../mesh/support/lab.ts';
import { endPeers, Peer } from '../mesh/support/peer.ts';
import { AgentProcess, cliFile } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';
import { launchBrowser, screenshot } from './browser.ts';
import { parsed, WebAgent } from './web-agent.ts';

const LIMIT_MS = 20_000;
const agents: { stop(signal?: NodeJS.Signals): Promise<unknown> }[] = [];
const lab = new Lab();
let browser: Browser;

beforeAll(async () => {
  browser = await launchBrowser();
}, 60_000);
afterEach(async () => {
  await Promise.all(agents.splice(0).map((one) => one.stop('SIGKILL')));
  await endPeers();
  lab.close();
});
afterAll(() => browser.close());

const pinsOf = (...names: string[]) =>
  `ports: { sim: { driver: mock } }\npins:\n${names.map((name) => `  ${name}: { port: sim, channel: ${name}, direction: out, initial: true, safe: false }`).join('\n')}\n`;

describe('the nodes of the mesh', () => {
  it('are shown as linked, lost or v1; the pins of a lost node are bad and disabled, in every browser', async () => {
    const web = await WebAgent.start(undefined, pinsOf('pump'));
    agents.push(web);
    const beside = web.agent;
    const hall = await AgentProcess.start(pinsOf('door'), {}, {}, { node: 'hall', beside });
    const attic = await AgentProcess.start(pinsOf('fan', 'vent'), {}, {}, { node: 'attic', beside });
    agents.push(hall, attic);
    const [, rx = '', tx = ''] = beside.bus.split(':');
    const old = await Peer.v1({ rx: Number(rx), tx: Number(tx) }).ready(LIMIT_MS);

    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    await page.goto(`${web.url}#system`);
    const node = (name: string) => page.locator('.nodes li', { has: page.getByText(name, { exact: true }) });
    await node('hall').getByText('linked').waitFor({ timeout: LIMIT_MS });
    await node('attic').getByText('linked').waitFor({ timeout: LIMIT_MS });
    await node('tested').getByText('this one').waitFor();
    await node('hall').getByText('1 pin').waitFor();
    await until(
      'the process of v1',
      () => {
        old.send('Hello', { there: true });
        return node(old.id).getByText('aktos-dcs v1').isVisible();
      },
      LIMIT_MS,
    );

    const before = await browser.newPage();
    await before.goto(web.url);
    await before.getByRole('switch', { name: 'fan' }).click();
    await before.locator('.pin', { hasText: 'fan' }).getByText('confirmed').waitFor();
    await attic.stop('SIGKILL');
    await node('attic').getByText('lost').waitFor({ timeout: LIMIT_MS });
    await node('attic')
      .getByText(/since \d+ s|since now/)
      .waitFor();
    await screenshot(page, 'mesh');
    const after = await browser.newPage();
    await after.goto(web.url);
    for (const one of [before, after]) {
      await one.getByRole('region', { name: '2 pins bad' }).waitFor({ timeout: LIMIT_MS });
      await one.locator('.pin', { hasText: 'fan' }).getByText('attic is gone').waitFor();
      expect(await one.getByRole('switch', { name: 'fan' }).isDisabled()).toBe(true);
      expect(await one.getByRole('switch', { name: 'door' }).isEnabled()).toBe(true);
    }
    await screenshot(after, 'mesh-lost-pins');
    const { text } = await web.http('GET', '/metrics');
    expect(text).toContain('dcs_io_node_up{node="attic"} 0');
    expect(text).toContain('dcs_io_node_up{node="hall"} 1');
    expect(text).toContain('dcs_io_pins{quality="bad"} 2');

    const again = await AgentProcess.start(pinsOf('fan'), {}, {}, { node: 'attic', beside });
    agents.push(again);
    await node('attic').getByText('linked').waitFor({ timeout: LIMIT_MS });
    expect(await node('attic').count()).toBe(1);
    for (const one of [before, after]) {
      await until('the switch', () => one.getByRole('switch', { name: 'fan' }).isEnabled(), LIMIT_MS);
    }
    expect((await web.http('GET', '/api/pins/vent')).status).toBe(404);
  }, 120_000);

  it('the round-trip time between machines is measured', async () => {
    const [a, b] = [lab.machine('a'), lab.machine('b')];
    lab.network(1, { [a]: '10.91.1.1', [b]: '10.91.1.2' });
    const folder = mkdtempSync(join(tmpdir(), 'dcs-io-web-mesh-'));
    const start = (node: string, namespace: string, bus: string) => {
      const file = join(folder, `${node}.yaml`);
      writeFileSync(
        file,
        `node: ${node}\nguardian: off\nweb:\nbus: { listen: 0.0.0.0, insecure: true, ${bus} }\n${pinsOf(`${node}-lamp`)}`,
      );
      return new Peer(process.execPath, [cliFile, 'run', '-c', file], namespace, true);
    };
    start('a', a, '');
    start('b', b, 'brokers: ["10.91.1.1:5012:5013"]');
    const nodes = async () => {
      const found = parsed(inside(a, 'curl', '-s', '--max-time', '5', 'http://127.0.0.1:8080/api/status'))['nodes'];
      return Array.isArray(found) ? found : [];
    };
    const known = await until(
      'the round trip',
      async () => (await nodes().catch(() => [])).find(({ name, round_trip_ms: trip }) => name === 'b' && trip > 0),
      40_000,
    );
    expect(known).toMatchObject({ state: 'linked', encrypted: false, missed: 0, dropped: 0, addresses: ['10.91.1.2'] });
    expect(known.round_trip_ms).toBeLessThan(1000);
    rmSync(folder, { recursive: true, force: true });
  }, 90_000);
});
