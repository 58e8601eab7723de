import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliFile, root } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';
import { launchBrowser, screenshot } from './browser.ts';
import { parsed, WebAgent } from './web-agent.ts';

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-web-modbus-'));
let plc: ChildProcess;
let web: WebAgent;

beforeAll(async () => {
  const port = await freePort();
  const file = join(folder, 'devices.yaml');
  const tty = join(folder, 'tty');
  // Every second request to unit 2 is refused, so that errors are counted.
  writeFileSync(
    file,
    `tcp: 127.0.0.1:${port}
pty: ${tty}
line: 9600-8N1
units:
  1: [{ holding: 10, type: float32, value: 12.5 }]
  2: [{ holding: 0, value: 7 }]
faults: [{ kind: exception, code: 6, unit: 2, every: 2 }]
`,
  );
  plc = spawn(process.execPath, [cliFile, 'simulate', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  plc.stdout?.on('data', (text) => {
    said += text;
  });
  await until('the simulator', () => said.includes('\n'));
  web = await WebAgent.start(
    undefined,
    `ports:
  plc: { driver: modbus, tcp: "127.0.0.1:${port}", poll: 50ms }
  rs485: { driver: modbus, serial: ${tty}, line: 9600-8N1, poll: 100ms }
pins:
  meter.power: { port: rs485, unit: 1, holding: 10, type: float32, uom: kW }
  plc.power: { port: plc, unit: 1, holding: 10, type: float32, uom: kW }
  plc.level: { port: plc, unit: 2, holding: 0 }`,
  );
});
afterAll(async () => {
  await web.stop();
  plc.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

describe('a Modbus bus', () => {
  it('exports utilisation, round trips and errors in /metrics, and the Grafana dashboard uses only existing metrics', async () => {
    const metrics = await until('the metrics of the bus', async () => {
      const { text } = await web.http('GET', '/metrics');
      return /dcs_io_port_events_total\{port="plc"/.test(text) && /utilisation/.test(text) ? text : undefined;
    });
    const [, share] = /dcs_io_port_utilisation_ratio\{port="plc"\} (\S+)/.exec(metrics) ?? [];
    expect(Number(share)).toBeGreaterThanOrEqual(0);
    expect(Number(share)).toBeLessThanOrEqual(1);
    expect(metrics).toMatch(/dcs_io_port_round_trip_p99_seconds\{port="plc"\} 0\.\d+/);
    const found = new Set([...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
    const dashboard = readFileSync(join(root, 'examples/grafana/dashboard.json'), 'utf8');
    const asked = new Set([...dashboard.matchAll(/\b(dcs_io_[a-z_0-9]+|process_[a-z_]+)/g)].map(([, name]) => name));
    expect(asked.size).toBeGreaterThan(8);
    expect([...asked].filter((name) => !found.has(name))).toEqual([]);
    expect(parsed(dashboard)['title']).toBe('dcs-io');
  });

  it('shows the utilisation and the errors of each bus on the page', async () => {
    const browser = await launchBrowser();
    const page = await browser.newPage();
    await page.goto(`${web.url}#system`);
    const port = (name: string) => page.locator('.port', { has: page.getByText(name, { exact: true }) });
    const share = async (name: string) =>
      Number(await port(name).getByRole('meter', { name: 'bus in use' }).getAttribute('value', { timeout: 20_000 }));
    // 17 bytes at 9600 baud and the silence between frames are more than 20 of every 100 ms.
    await until('the load of the line', async () => (await share('rs485')) > 0.15, 20_000);
    expect(await share('rs485')).toBeLessThanOrEqual(1);
    await port('plc').getByText('round trip below').waitFor();
    await port('plc').getByText('exception 6').waitFor();
    await port('rs485').getByText('open', { exact: true }).waitFor();
    await screenshot(page, 'modbus');
    await browser.close();
  }, 60_000);
});
