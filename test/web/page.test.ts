import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hashPassword } from '../../src/web/auth/secrets.ts';
import { root } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';
import { launchBrowser } from './browser.ts';
import { WebAgent } from './support.ts';

const PASSWORD = 'correct horse';
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Where screenshots go for people to look at; by default nowhere that stays. */
const own = mkdtempSync(join(tmpdir(), 'dcs-io-page-'));
const shots = process.env['DCS_IO_SHOTS'] ?? own;
/** The demo's plant on a simulated board, without its actor: only the test moves it. */
const demo = readFileSync(join(root, 'examples/demo/dcs-io.yaml'), 'utf8')
  .replace(/^(node|web):.*$/gm, '')
  .replace(/^actors:[\s\S]*$/m, '');

const views = ['pins', 'trends', 'messages', 'system', 'board'] as const;

let browser: Browser;
let web: WebAgent;
const contexts: BrowserContext[] = [];

beforeAll(async () => {
  mkdirSync(shots, { recursive: true });
  browser = await launchBrowser();
  web = await WebAgent.start(undefined, demo);
}, 60_000);
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});
afterAll(async () => {
  await browser.close();
  await web.stop();
  rmSync(own, { recursive: true, force: true });
});

interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
}

/** The page in a browser of its own; what it complains of fails the test. */
async function open(url: string, look: Look = {}): Promise<Page> {
  const { width = 1280, height = 860, dark = false } = look;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? 'dark' : 'light',
    ignoreHTTPSErrors: true,
  });
  contexts.push(context);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(url).host) complaints.push(`asked ${request.url()}`);
  });
  await page.goto(url);
  return page;
}
const complaints: string[] = [];
afterEach(() => {
  expect(complaints.splice(0)).toEqual([]);
});

const switchOf = (page: Page, pin: string) => page.getByRole('switch', { name: pin, exact: true });
const isOn = async (page: Page, pin: string) => (await switchOf(page, pin).getAttribute('aria-checked')) === 'true';

describe('the page of the demo on mock hardware', () => {
  it('a switch toggled in the page changes the pin, and its limit switch is seen to follow', async () => {
    const page = await open(web.url);
    await switchOf(page, 'valve').click();
    await until('the switch', () => isOn(page, 'valve'));
    expect(await web.agent.report('valve-open')).toMatchObject({ val: true, quality: 'good' });
    const row = page.locator('.pin', { hasText: 'valve-open' });
    await until('the limit switch', async () => (await row.locator('.pin-value').innerText()) === 'on');
    await row.page().locator('.pin', { hasText: 'confirmed' }).first().waitFor();
  });

  it('a trend goes back to before the page was opened', async () => {
    for (const level of [10, 20, 30]) await web.http('PUT', '/api/pins/tank-fill', { json: { val: level } });
    const page = await open(`${web.url}#trends`);
    await page.getByRole('img', { name: /^tank-level: 10 to 40/ }).waitFor();
  });

  it('a pin that is changed elsewhere changes in the page', async () => {
    const page = await open(web.url);
    await until('the lamp to be off', async () => !(await isOn(page, 'green-led')));
    expect(await web.agent.cli('set', 'green-led', 'on')).toMatchObject({ code: 0 });
    await until('the lamp', () => isOn(page, 'green-led'));
  });

  it('a slider moved by keyboard sets the output once it is let go', async () => {
    const page = await open(web.url);
    const slider = page.getByRole('slider', { name: 'tank-fill' });
    await slider.focus();
    await page.keyboard.press('End');
    await until('the level', async () => (await web.http('GET', '/api/pins/tank-level')).json['val'] === 100);
  });

  it('a value that is refused is said in words, and the page shows what the pin is', async () => {
    const page = await open(web.url);
    await page.locator('.pin').getByRole('button', { name: 'tank-fill' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('new value of tank-fill').fill('1234');
    await dialog.getByRole('button', { name: 'Set' }).click();
    await dialog.getByText('1234 is outside 0 to 100').waitFor();
    expect((await web.http('GET', '/api/pins/tank-fill')).json['val']).not.toBe(1234);
  });

  it('an override is unmistakable on every view, and is ended where it is shown', async () => {
    const page = await open(web.url);
    await page.locator('.pin').getByRole('button', { name: 'pump' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('group', { name: 'Override' }).getByRole('button', { name: 'On', exact: true }).click();
    await dialog.getByText('overridden').waitFor();
    await page.screenshot({ path: join(shots, 'override-dialog.png') });
    await page.keyboard.press('Escape');
    await page.locator('.pin', { hasText: 'pump' }).getByText('overridden').waitFor();
    await page.screenshot({ path: join(shots, 'override.png') });
    await switchOf(page, 'pump').click();
    await page.locator('.pin', { hasText: 'pump' }).getByText('not done').waitFor();
    for (const view of views) {
      await page.goto(`${web.url}#${view}`);
      await page.getByRole('region', { name: '1 output overridden' }).waitFor();
    }
    await page.getByRole('region', { name: '1 output overridden' }).getByRole('button', { name: 'pump' }).click();
    await dialog.getByRole('button', { name: 'End the override' }).click();
    await page.getByRole('region', { name: '1 output overridden' }).waitFor({ state: 'detached' });
    expect(await web.agent.report('pump')).toMatchObject({ val: false });
  });

  it('everything can be done by keyboard: to a pin, its dialog and back', async () => {
    const page = await open(web.url);
    await page.locator('.pin').getByRole('button', { name: 'pump' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    expect(await page.evaluate('document.activeElement.textContent')).toBe('pump');
  });

  it('says at once that values are old when the agent is gone, and heals when it is back', async () => {
    const mortal = await WebAgent.start('web: { listen: "127.0.0.1:0" }', demo);
    const page = await open(mortal.url);
    await page.getByText('live', { exact: true }).waitFor();
    await mortal.stop();
    await page.getByText('no connection').waitFor();
    expect(await switchOf(page, 'valve').isDisabled()).toBe(true);
    const again = await WebAgent.start(`web: { listen: "127.0.0.1:${mortal.port}" }`, demo);
    await page.getByText('live', { exact: true }).waitFor({ timeout: 15_000 });
    await until('the switch', () => switchOf(page, 'valve').isEnabled());
    await again.stop();
    // The browser says of itself that nobody was there.
    await page.close();
    complaints.splice(0);
  });

  it('messages pass by, can be found and stopped', async () => {
    const page = await open(`${web.url}#messages`);
    await page.getByText('live', { exact: true }).waitFor();
    await web.http('PUT', '/api/pins/request', { json: { val: true } });
    await page
      .getByRole('row', { name: /command request true/ })
      .first()
      .waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await web.http('PUT', '/api/pins/request', { json: { val: false } });
    await page.getByText(/Paused; [1-9]/).waitFor();
    expect(await page.getByRole('row', { name: /request false/ }).count()).toBe(0);
  });

  it('draws the header of the board with its pins and their values', async () => {
    const page = await open(`${web.url}#board`);
    const row = page.getByRole('row', { name: /11.*12/ });
    await row.getByRole('button', { name: /green-led/ }).waitFor();
    expect(await page.locator('.pad').count()).toBe(40);
  });
});

describe('for everybody', () => {
  it.each([
    ['desktop', {}],
    ['desktop-dark', { dark: true }],
    ['phone', { width: 390, height: 844 }],
    ['phone-dark', { width: 390, height: 844, dark: true }],
  ] as const)(
    '%s: no view has a barrier axe knows of, nor scrolls sideways',
    async (name, look) => {
      const page = await open(web.url, look);
      await page.getByText('live', { exact: true }).waitFor();
      for (const view of views) {
        await page.goto(`${web.url}#${view}`);
        await page.locator('.toolbar').waitFor();
        if (view === 'board') await page.locator('.pad').first().waitFor();
        if (view === 'system') await page.locator('.port').first().waitFor();
        await page.screenshot({ path: join(shots, `${name}-${view}.png`) });
        // The policy of the page forbids scripts in it; the browser's own tools may.
        const found = await page.evaluate<unknown>(
          `${axe}; axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
          violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html, failureSummary }) => html + ' ' + failureSummary).join(' | ')))`,
        );
        expect(found, `${name} ${view}`).toEqual([]);
        const sideways = await page.evaluate<boolean>('document.documentElement.scrollWidth > innerWidth');
        expect(sideways, `${name} ${view} scrolls sideways`).toBe(false);
      }
    },
    60_000,
  );

  it('who must log in sees nothing before, and gets in with a password; a viewer has no switches', async () => {
    const closed = await WebAgent.start(
      `web: { listen: "127.0.0.1:0", users: { ali: { role: operate, password: ${await hashPassword(PASSWORD)} }, eve: { role: view, password: ${await hashPassword(PASSWORD)} } } }`,
      demo,
    );
    const page = await open(closed.url);
    const logIn = async (user: string, password: string) => {
      await page.getByLabel('Name').fill(user);
      await page.getByLabel('Password').fill(password);
      await page.getByRole('button', { name: 'Log in' }).click();
    };
    await logIn('ali', 'wrong');
    await page.getByText('is wrong').waitFor();
    await page.screenshot({ path: join(shots, 'login.png') });
    expect(await page.content()).not.toContain('green-led');
    await logIn('ali', PASSWORD);
    await switchOf(page, 'green-led').click();
    await until('the lamp', () => isOn(page, 'green-led'));
    await page.getByRole('button', { name: 'Log out' }).click();
    await logIn('eve', PASSWORD);
    await page.getByRole('button', { name: 'green-led' }).waitFor();
    expect(await page.getByRole('switch').count()).toBe(0);
    await page.close();
    await closed.stop();
    // The refused login shows in the browser's log.
    expect(complaints.splice(0).filter((text) => !/401|ERR_|WebSocket/.test(text))).toEqual([]);
  }, 40_000);
});
