import { type Browser, chromium } from 'playwright-core';

/** Debian's Chromium without a window; as root, in a container, and without a graphics card too. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
}
