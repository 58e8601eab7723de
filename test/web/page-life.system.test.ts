import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hashPassword, newToken } from '../../src/web/auth/credentials.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';
import { screenshot } from './browser.ts';
import { accessibilityViolations, BrowserPages, demo } from './browser-pages.ts';
import { WebAgent } from './web-agent.ts';

const PASSWORD = 'correct horse';
const LIMIT_MS = 20_000;
const robot = newToken();
let browserPages: BrowserPages;
const agents: WebAgent[] = [];

beforeAll(async () => {
  browserPages = await BrowserPages.launch();
}, 60_000);
afterEach(async () => {
  expect(await browserPages.closePages()).toEqual([]);
  for (const agent of agents.splice(0)) await agent.stop();
});
afterAll(() => browserPages.close());

async function start(web?: string, plant = demo): Promise<WebAgent> {
  const agent = await WebAgent.start(web, plant);
  agents.push(agent);
  return agent;
}

async function closedAt(port: number): Promise<string> {
  const password = await hashPassword(PASSWORD);
  return `web: { listen: "127.0.0.1:${port}", users: { ali: { role: operate, password: "${password}" }, robot: { role: admin, token: "${robot.hash}" } } }`;
}

async function logIn(page: Page): Promise<void> {
  await page.getByLabel('Name').fill('ali');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in' }).click();
}

const switchOf = (page: Page, pin: string) => page.getByRole('switch', { name: pin, exact: true });
const live = (page: Page) => page.getByText('live', { exact: true }).waitFor({ timeout: LIMIT_MS });

describe('while the agent is down', () => {
  it('the page shows the outage and the last values, disables every control, reconnects at a bounded rate, and recovers', async () => {
    const port = await freePort();
    const web = await start(`web: { listen: "127.0.0.1:${port}" }`);
    const page = await browserPages.open(web.url);
    await live(page);
    await switchOf(page, 'valve').click();
    await page.locator('.pin', { hasText: 'valve-open' }).getByText('on', { exact: true }).waitFor();
    let asked = 0;
    page.on('request', () => asked++);
    await web.agent.stop('SIGKILL');
    const alert = page.getByRole('alert');
    await alert.getByText(/No connection since \d\d:\d\d:\d\d/).waitFor({ timeout: LIMIT_MS });
    for (const control of await page.getByRole('switch').all()) expect(await control.isDisabled()).toBe(true);
    expect(await page.getByRole('slider', { name: 'tank-fill' }).isDisabled()).toBe(true);
    expect(await page.locator('.pin', { hasText: 'valve-open' }).getByText('on', { exact: true }).isVisible()).toBe(
      true,
    );
    await page.locator('.pin').getByRole('button', { name: 'pump' }).click();
    for (const name of ['0.5 s', 'On', 'Off']) {
      expect(await page.getByRole('dialog').getByRole('button', { name, exact: true }).isDisabled()).toBe(true);
    }
    await page.keyboard.press('Escape');
    await screenshot(page, 'offline');
    expect(await accessibilityViolations(page)).toEqual([]);
    // Two kinds of requests, each every 2 to 8 s: their rate must not grow.
    await page.waitForTimeout(6000);
    expect(asked).toBeLessThan(12);
    await start(`web: { listen: "127.0.0.1:${port}" }`);
    await live(page);
    await alert.waitFor({ state: 'detached' });
    await until(
      'the valve as it is now',
      async () => (await switchOf(page, 'valve').getAttribute('aria-checked')) === 'false',
    );
    expect(await switchOf(page, 'valve').isEnabled()).toBe(true);
  }, 90_000);

  it('a session that ended with the agent leads to the login form, and from there back to live values', async () => {
    const port = await freePort();
    const web = await start(await closedAt(port));
    const page = await browserPages.open(web.url);
    await logIn(page);
    await live(page);
    await web.agent.stop('SIGKILL');
    await page.getByRole('alert').getByText('No connection').waitFor({ timeout: LIMIT_MS });
    await start(await closedAt(port));
    await page.getByLabel('Password').waitFor({ timeout: LIMIT_MS });
    await logIn(page);
    await live(page);
    await switchOf(page, 'valve').click();
    await page.locator('.pin', { hasText: 'valve' }).getByText('confirmed').first().waitFor();
  }, 90_000);
});

describe('load and several browsers', () => {
  it('two browsers see the commands of each other with the user; one logs out and the other stays', async () => {
    const web = await start(await closedAt(0));
    const [one, other] = [await browserPages.open(web.url), await browserPages.open(web.url)];
    for (const page of [one, other]) {
      await logIn(page);
      await live(page);
    }
    await switchOf(one, 'valve').click();
    await until('the other', async () => (await switchOf(other, 'valve').getAttribute('aria-checked')) === 'true');
    await other.locator('.pin').getByRole('button', { name: 'valve', exact: true }).click();
    await other.getByRole('dialog').getByText('on by web/ali@tested, verified').waitFor();
    await other.keyboard.press('Escape');
    await one.getByRole('button', { name: 'Log out' }).click();
    await one.getByLabel('Password').waitFor();
    expect(await one.content()).not.toContain('tank-fill');
    await switchOf(other, 'valve').click();
    await until('the valve', async () => (await switchOf(other, 'valve').getAttribute('aria-checked')) === 'false');
  }, 60_000);

  it('with 1000 pins and 500 changes a second the page stays responsive', async () => {
    const pins = Array.from(
      { length: 1000 },
      (_, at) => `  tank${at % 50}.level${at}: { virtual: number, direction: out, initial: ${at} }`,
    );
    const web = await start(undefined, `pins:\n${pins.join('\n')}`);
    const page = await browserPages.open(web.url);
    await page.locator('.pin').nth(999).waitFor({ state: 'attached', timeout: 60_000 });
    const client = web.client();
    await client.ready();
    let sent = 0;
    const timer = setInterval(() => {
      for (let burst = 0; burst < 10; burst++, sent++) {
        client.send({ IoMessage: { pin_name: `tank${sent % 50}.level${sent % 1000}`, val: sent } });
      }
    }, 20);
    try {
      // Each timer waits for the work of the page.
      const turns = await page.evaluate<number>(
        `new Promise((resolve) => { let turns = 0; const turn = () => ++turns < 100 ? setTimeout(turn, 10) : resolve(turns); turn(); })`,
      );
      expect(turns).toBe(100);
    } finally {
      clearInterval(timer);
      client.close();
    }
    // The page shows the current value.
    await web.http('PUT', '/api/pins/tank7.level7', { json: { val: 4321 } });
    const row = page.locator('.pin', { has: page.getByRole('button', { name: 'level7', exact: true }) });
    await until('the last value', async () => (await row.locator('.number').textContent()) === '4321', LIMIT_MS);
  }, 120_000);

  it('at 1000 messages a second the log is bounded and counts what it omits, the filter works, and the page stays responsive', async () => {
    const web = await start();
    const page = await browserPages.open(`${web.url}#messages`);
    await live(page);
    const flood = web.client();
    await flood.ready();
    let sent = 0;
    const begun = performance.now();
    const timer = setInterval(() => {
      for (const due = (performance.now() - begun) * 1; sent < due; sent++) flood.send({ Flood: { sent } });
    }, 10);
    try {
      await page.getByText(/older than the last 2000/).waitFor({ timeout: LIMIT_MS });
      expect(await page.locator('.log tbody tr').count()).toBe(200);
      await page.getByLabel('Find messages').fill('valve');
      await page.getByText(/did not match/).waitFor({ timeout: LIMIT_MS });
      await web.http('PUT', '/api/pins/valve', { json: { val: true } });
      await page.getByRole('row', { name: /command valve true/ }).waitFor({ timeout: LIMIT_MS });
      await page.waitForTimeout(3000);
      expect(await page.getByRole('row', { name: /command valve true/ }).count()).toBe(1);
      // The longest time the event loop of the page was blocked.
      const longest = await page.evaluate<number>(
        `new Promise((resolve) => { let last = performance.now(), longest = 0, left = 100;
        const turn = () => { const now = performance.now(); longest = Math.max(longest, now - last); last = now; if (--left > 0) setTimeout(turn, 10); else resolve(longest); }; turn(); })`,
      );
      expect(longest).toBeLessThan(1000);
      await page.getByLabel('Find messages').fill('');
      await page.getByRole('button', { name: 'Pause' }).click();
      await page.getByText(/received while paused/).waitFor({ timeout: LIMIT_MS });
      const first = await page.locator('.log tbody tr').first().innerText();
      await page.waitForTimeout(1000);
      expect(await page.locator('.log tbody tr').first().innerText()).toBe(first);
      await screenshot(page, 'flood');
    } finally {
      clearInterval(timer);
      flood.close();
    }
    expect(sent).toBeGreaterThan(4000);
  }, 120_000);
});
