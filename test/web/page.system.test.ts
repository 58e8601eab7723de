import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hashPassword } from '../../src/web/auth/credentials.ts';
import { until } from '../support/wait.ts';
import { screenshot } from './browser.ts';
import { accessibilityViolations, BrowserPages, demo, type Look, scrollsHorizontally, views } from './browser-pages.ts';
import { WebAgent } from './web-agent.ts';

const PASSWORD = 'correct horse';

let browserPages: BrowserPages;
let web: WebAgent;

beforeAll(async () => {
  browserPages = await BrowserPages.launch();
  web = await WebAgent.start(undefined, demo);
}, 60_000);
afterEach(async () => {
  expect(await browserPages.closePages()).toEqual([]);
});
afterAll(async () => {
  await browserPages.close();
  await web.stop();
});

const open = (url: string, look?: Look) => browserPages.open(url, look);
const switchOf = (page: Page, pin: string) => page.getByRole('switch', { name: pin, exact: true });
const isOn = async (page: Page, pin: string) => (await switchOf(page, pin).getAttribute('aria-checked')) === 'true';

describe('the page of the demo on mock hardware', () => {
  it('a switch on the page changes the pin, and its limit switch follows', async () => {
    const page = await open(web.url);
    await switchOf(page, 'valve').click();
    await until('the switch', () => isOn(page, 'valve'));
    expect(await web.agent.report('valve-open')).toMatchObject({ val: true, quality: 'good' });
    const row = page.locator('.pin', { hasText: 'valve-open' });
    await until('the limit switch', async () => (await row.locator('.pin-value').innerText()) === 'on');
    await row.page().locator('.pin', { hasText: 'confirmed' }).first().waitFor();
  });

  it('a trend shows values from before the page was opened', async () => {
    for (const level of [10, 20, 30]) await web.http('PUT', '/api/pins/tank-fill', { json: { val: level } });
    const page = await open(`${web.url}#trends`);
    await page.getByRole('img', { name: /^tank-level: 10 to 40/ }).waitFor();
  });

  it('the page shows a change made by another client', async () => {
    const page = await open(web.url);
    await until('the lamp to be off', async () => !(await isOn(page, 'green-led')));
    expect(await web.agent.cli('set', 'green-led', 'on')).toMatchObject({ code: 0 });
    await until('the lamp', () => isOn(page, 'green-led'));
  });

  it('a slider moved by keyboard sets the output once the key is released', async () => {
    const page = await open(web.url);
    const slider = page.getByRole('slider', { name: 'tank-fill' });
    await slider.focus();
    await page.keyboard.press('End');
    await until('the level', async () => (await web.http('GET', '/api/pins/tank-level')).json['val'] === 100);
  });

  it('a refused value shows the reason, and the page keeps showing the reported value', async () => {
    const page = await open(web.url);
    await page.locator('.pin').getByRole('button', { name: 'tank-fill' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('new value of tank-fill').fill('1234');
    await dialog.getByRole('button', { name: 'Set' }).click();
    await dialog.getByText('1234 is outside 0 to 100').waitFor();
    expect((await web.http('GET', '/api/pins/tank-fill')).json['val']).not.toBe(1234);
  });

  it('an override is shown on every view and can be ended there', async () => {
    const page = await open(web.url);
    await page.locator('.pin').getByRole('button', { name: 'pump' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('group', { name: 'Override' }).getByRole('button', { name: 'On', exact: true }).click();
    await dialog.getByText('overridden').waitFor();
    await screenshot(page, 'override-dialog');
    await page.keyboard.press('Escape');
    await page.locator('.pin', { hasText: 'pump' }).getByText('overridden').waitFor();
    await screenshot(page, 'override');
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

  it('everything works by keyboard: from the address to a switch, its dialog, an override and back', async () => {
    const page = await open(web.url);
    await switchOf(page, 'valve').waitFor();
    const before = await isOn(page, 'valve');
    const focused = () =>
      page.evaluate<string>(
        '(document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent).trim()',
      );
    const tabTo = async (name: string) => {
      for (let steps = 0; steps < 60; steps++) {
        await page.keyboard.press('Tab');
        if ((await focused()) === name) return;
      }
      throw new Error(`Tab does not come to ${name}`);
    };
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    await tabTo('valve');
    const tag = await page.evaluate<string>('document.activeElement.getAttribute("role") ?? "name"');
    if (tag === 'name') await tabTo('valve');
    await page.keyboard.press('Space');
    await until('the switch', async () => (await isOn(page, 'valve')) !== before);
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'valve' });
    await dialog.waitFor();
    await tabTo('Off');
    await page.keyboard.press('Enter');
    await dialog.getByText('overridden').waitFor();
    await tabTo('End the override');
    await page.keyboard.press('Enter');
    await dialog.getByText('overridden').waitFor({ state: 'detached' });
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    expect(await focused()).toBe('valve');
  });

  it('a screen reader gets the role, name and state of each control', async () => {
    const page = await open(web.url);
    await web.http('PUT', '/api/pins/tank-fill', { json: { val: 40 } });
    await until(
      'the slider',
      async () => (await page.getByRole('slider', { name: 'tank-fill' }).inputValue()) === '40',
    );
    const snapshot = await page.locator('main').ariaSnapshot();
    expect(snapshot).toMatch(/heading "sim 4" \[level=3\]/);
    expect(snapshot).toMatch(/switch "valve"/);
    expect(snapshot).toMatch(/slider "tank-fill": "40"/);
    expect(snapshot).toMatch(/button "tank-level"[\s\S]*status: 40 %/);
    expect(await page.getByRole('navigation', { name: 'Views' }).getByRole('link').allInnerTexts()).toEqual([
      'Pins',
      'Trends',
      'Messages',
      'System',
      'Board',
    ]);
  });

  it('prefers-reduced-motion disables all motion', async () => {
    const still = await open(web.url, { still: true });
    await switchOf(still, 'valve').waitFor();
    const moving = await still.evaluate<number>(
      `[...document.querySelectorAll('*')].filter((one) => { const { transitionDuration, animationName } = getComputedStyle(one); return animationName !== 'none' || transitionDuration.split(',').some((time) => parseFloat(time) > 0); }).length`,
    );
    expect(moving).toBe(0);
  });

  it('messages are listed live, can be filtered and paused', async () => {
    const page = await open(`${web.url}#messages`);
    await page.getByText('live', { exact: true }).waitFor();
    await web.http('PUT', '/api/pins/request', { json: { val: true } });
    await page
      .getByRole('row', { name: /command request true/ })
      .first()
      .waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await web.http('PUT', '/api/pins/request', { json: { val: false } });
    await page.getByText(/Paused\. Not shown: [1-9]\d* messages? received while paused/).waitFor();
    expect(await page.getByRole('row', { name: /request false/ }).count()).toBe(0);
  });

  it('draws the header of the board with its pins and their values', async () => {
    const page = await open(`${web.url}#board`);
    const row = page.getByRole('row', { name: /11.*12/ });
    await row.getByRole('button', { name: /green-led/ }).waitFor();
    expect(await page.locator('.pad').count()).toBe(40);
  });
});

describe('accessibility and login', () => {
  it.each([
    ['desktop', {}],
    ['desktop-dark', { dark: true }],
    ['phone', { width: 360, height: 740 }],
    ['phone-dark', { width: 360, height: 740, dark: true }],
  ] as const)(
    '%s: axe finds no violation in any view, and none scrolls horizontally',
    async (name, look) => {
      const page = await open(web.url, look);
      await page.getByText('live', { exact: true }).waitFor();
      for (const view of views) {
        await page.goto(`${web.url}#${view}`);
        await page.locator('.toolbar').waitFor();
        if (view === 'board') await page.locator('.pad').first().waitFor();
        if (view === 'system') await page.locator('.port').first().waitFor();
        await screenshot(page, `${name}-${view}`);
        expect(await accessibilityViolations(page), `${name} ${view}`).toEqual([]);
        expect(await scrollsHorizontally(page), `${name} ${view} scrolls horizontally`).toBe(false);
      }
    },
    60_000,
  );

  it('the page shows nothing before the login; a viewer has no switches', async () => {
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
    await screenshot(page, 'login');
    expect(await page.content()).not.toContain('green-led');
    await logIn('ali', PASSWORD);
    await switchOf(page, 'green-led').click();
    await until('the lamp', () => isOn(page, 'green-led'));
    await page.getByRole('button', { name: 'Log out' }).click();
    await logIn('eve', PASSWORD);
    await page.getByRole('button', { name: 'green-led' }).waitFor();
    expect(await page.getByRole('switch').count()).toBe(0);
    await closed.stop();
  }, 40_000);
});
