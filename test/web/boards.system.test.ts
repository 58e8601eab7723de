import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { layOutHeaders } from '../../src/board/header-layout.ts';
import { listBoards, loadBoard } from '../../src/board/load-board.ts';
import { until } from '../support/wait.ts';
import { screenshot } from './browser.ts';
import { accessibilityViolations, BrowserPages, demo, scrollsHorizontally } from './browser-pages.ts';
import { WebAgent } from './web-agent.ts';

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

describe('the board view', () => {
  it('draws every board with all its pads, on a desktop and a phone', async () => {
    const looks = [
      ['desktop', await browserPages.open(web.url)],
      ['phone', await browserPages.open(web.url, { width: 360, height: 740 })],
    ] as const;
    const boards = listBoards();
    expect(boards).toEqual(
      expect.arrayContaining([
        'raspberry-pi-4b',
        'raspberry-pi-5',
        'beaglebone-black',
        'revolution-pi-connect',
        'orange-pi-zero-3',
      ]),
    );
    const drawn = new Map<string, string>();
    for (const name of boards) {
      const board = loadBoard(name);
      if (!board) throw new Error(`no board ${name}`);
      const [first] = layOutHeaders(board).flatMap(({ rows }) => rows.flat().filter(({ kind }) => kind === 'line'));
      const found = first && board.resolve(first.name);
      const lines = new Map(found ? [[`${found.chip}:${found.line}`, 'green-led']] : []);
      const headers = layOutHeaders(board, { lines, buses: ['i2c1'] });
      const pads = headers.flatMap(({ rows }) => rows.flat()).length;
      // Many boards have the same header.
      const json = JSON.stringify(headers);
      const known = drawn.get(json);
      drawn.set(json, name);
      if (known !== undefined) continue;
      for (const [look, page] of looks) {
        await page.route('**/api/headers', (route) => route.fulfill({ contentType: 'application/json', body: json }));
        await page.goto(`${web.url}#pins`);
        await page.goto(`${web.url}#board`);
        // The page shows the previous board until the agent has answered.
        await until(`${pads} pads of ${name}`, async () => (await page.locator('.pad').count()) === pads, 20_000);
        const titles = headers.map(({ title, connector }) => `${title} ${connector}`);
        await until(
          `the titles of ${name}`,
          async () => (await page.locator('.header-drawing h3').allInnerTexts()).join() === titles.join(),
          20_000,
        );
        if (pads === 0) await page.getByText('There is nothing to draw').waitFor();
        if (found) await page.getByRole('button', { name: /green-led/ }).waitFor();
        expect(await scrollsHorizontally(page), `${name} ${look} scrolls horizontally`).toBe(false);
        expect(await accessibilityViolations(page), `${name} ${look}`).toEqual([]);
        await screenshot(page, `board-${name}-${look}`);
        await page.unroute('**/api/headers');
      }
    }
    expect(drawn.size).toBeGreaterThanOrEqual(5);
  }, 120_000);
});
