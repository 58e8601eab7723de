import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { root } from '../support/agent-process.ts';
import { launchBrowser } from './browser.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The demo's plant on a simulated board, without its actor: only the test moves it. */
export const demo = readFileSync(join(root, 'examples/demo/dcs-io.yaml'), 'utf8')
  .replace(/^(node|web):.*$/gm, '')
  .replace(/^actors:[\s\S]*$/m, '');

export const views = ['pins', 'trends', 'messages', 'system', 'board'] as const;

export interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  readonly still?: boolean;
}

/** A browser whose pages keep what they complain of. */
export class PageBench {
  /** Errors of scripts, of the console, and requests to anywhere but the page's own agent. */
  readonly complaints: string[] = [];
  readonly #browser: Browser;
  readonly #contexts: BrowserContext[] = [];

  constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<PageBench> {
    return new PageBench(await launchBrowser());
  }

  /** The page in a browser of its own. */
  async open(url: string, look: Look = {}): Promise<Page> {
    const { width = 1280, height = 860, dark = false, still = false } = look;
    const context = await this.#browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? 'dark' : 'light',
      reducedMotion: still ? 'reduce' : 'no-preference',
      ignoreHTTPSErrors: true,
    });
    this.#contexts.push(context);
    const page = await context.newPage();
    page.on('pageerror', (error) => this.complaints.push(error.message));
    page.on('console', (message) => message.type() === 'error' && this.complaints.push(message.text()));
    page.on('request', (request) => {
      if (new URL(request.url()).host !== new URL(url).host) this.complaints.push(`asked ${request.url()}`);
    });
    await page.goto(url);
    return page;
  }

  /** Closes the pages; returns what they complained of, except of an agent that was not there or did not let them in. */
  async closePages(): Promise<string[]> {
    for (const context of this.#contexts.splice(0)) await context.close();
    return this.complaints.splice(0).filter((text) => !/status of (401|403|429)|ERR_|WebSocket/.test(text));
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }
}

/** What axe finds wrong, each with where. The policy of the page forbids scripts in it; the browser's own tools may. */
export function barriers(page: Page): Promise<unknown> {
  return page.evaluate<unknown>(
    `${axe}; axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html, failureSummary }) => html + ' ' + failureSummary).join(' | ')))`,
  );
}

export function scrollsSideways(page: Page): Promise<boolean> {
  return page.evaluate<boolean>('document.documentElement.scrollWidth > innerWidth');
}
