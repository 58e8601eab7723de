import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { root } from '../support/agent-process.ts';
import { launchBrowser } from './browser.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The demo configuration without its actor: only the test changes values. */
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

/** A browser that collects the errors of its pages. */
export class BrowserPages {
  /** Errors of scripts and of the console, and requests to other hosts than the agent. */
  readonly pageErrors: string[] = [];
  readonly #browser: Browser;
  readonly #contexts: BrowserContext[] = [];

  constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<BrowserPages> {
    return new BrowserPages(await launchBrowser());
  }

  /** Opens the page in a new browser context. */
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
    page.on('pageerror', (error) => this.pageErrors.push(error.message));
    page.on('console', (message) => message.type() === 'error' && this.pageErrors.push(message.text()));
    page.on('request', (request) => {
      if (new URL(request.url()).host !== new URL(url).host) this.pageErrors.push(`asked ${request.url()}`);
    });
    await page.goto(url);
    return page;
  }

  /** Closes the pages. Returns their errors, except those of an agent that was down or refused the login. */
  async closePages(): Promise<string[]> {
    for (const context of this.#contexts.splice(0)) await context.close();
    return this.pageErrors.splice(0).filter((text) => !/status of (401|403|429)|ERR_|WebSocket/.test(text));
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }
}

/** Returns the violations that axe finds. Playwright can run scripts in spite of the Content-Security-Policy. */
export function accessibilityViolations(page: Page): Promise<unknown> {
  return page.evaluate<unknown>(
    `${axe}; axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html, failureSummary }) => html + ' ' + failureSummary).join(' | ')))`,
  );
}

export function scrollsHorizontally(page: Page): Promise<boolean> {
  return page.evaluate<boolean>('document.documentElement.scrollWidth > innerWidth');
}
