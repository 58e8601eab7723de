import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Where screenshots go for people to look at; without it none are kept. */
const shots = process.env['DCS_IO_SHOTS'];

/** Debian's Chromium without a window; as root, in a container, and without a graphics card too. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
}

/** Makes a screenshot, in every run: what cannot be drawn fails here. */
export async function shot(page: Page, name: string): Promise<void> {
  if (shots !== undefined) mkdirSync(shots, { recursive: true });
  await page.screenshot(shots === undefined ? {} : { path: join(shots, `${name}.png`) });
}
