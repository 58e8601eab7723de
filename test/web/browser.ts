import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Folder of the screenshots; `undefined`: none are kept. */
const shots = process.env['DCS_IO_SHOTS'];

/** Launches Debian's Chromium headless; it works as root, in a container and without a GPU. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
}

/** Makes a screenshot in every run, so that rendering errors fail the test. */
export async function screenshot(page: Page, name: string): Promise<void> {
  if (shots !== undefined) mkdirSync(shots, { recursive: true });
  await page.screenshot(shots === undefined ? {} : { path: join(shots, `${name}.png`) });
}
