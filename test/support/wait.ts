import { setTimeout as pause } from 'node:timers/promises';

/** An emulated machine beside other tests is slow without anything being wrong. */
const LIMIT_MS = process.env['DCS_IO_RIG_GUEST'] === undefined ? 5000 : 60_000;

/** Waits until `probe` gives something other than undefined or false; fails with `what` after `limitMs`. */
export async function until<T>(what: string, probe: () => T | Promise<T>, limitMs = LIMIT_MS): Promise<NonNullable<T>> {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== null && found !== false) return found;
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await pause(5);
  }
}
