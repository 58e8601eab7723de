import { existsSync, readdirSync } from 'node:fs';
import type { DetectedPort } from '../../src/driver/contract.ts';
import { messageOf } from '../../src/errors/errors.ts';
import { BusOwner, hex, type I2cBus, type MuxChannel, type ScannedChip, scanBus } from './bus.ts';

/** Opens a bus of this machine by its path. */
type OpenBus = (path: string) => Promise<I2cBus>;

/** The I2C buses of this machine, in the order of their numbers. */
export function i2cBuses(): string[] {
  const names = existsSync('/dev') ? readdirSync('/dev').filter((name) => /^i2c-\d+$/.test(name)) : [];
  return names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).map((name) => `/dev/${name}`);
}

/** Returns the chips that answer on a bus, or behind a channel of a mux on it. */
export async function scanChips(path: string, openBus: OpenBus, mux?: MuxChannel): Promise<ScannedChip[]> {
  const owner = new BusOwner(await openBus(path), []);
  try {
    return await scanBus({
      transfer: (address, write, length) => owner.transfer(mux, address, write, length),
    });
  } finally {
    // A transfer without a mux closes the channel that is open.
    if (mux) await owner.transfer(undefined, mux.address, Uint8Array.of(0), 0);
    await owner.close();
  }
}

/** Detects the buses of this machine with the chips that answer on them. */
export async function detectBuses(openBus: OpenBus): Promise<DetectedPort[]> {
  const found: DetectedPort[] = [];
  for (const path of i2cBuses()) {
    const port = { path, name: path.replace('/dev/', ''), about: '', options: { bus: path } };
    const chips = await scanChips(path, openBus).catch((error: unknown) => messageOf(error));
    if (typeof chips === 'string') found.push({ ...port, problem: chips });
    else found.push({ ...port, devices: chips.map(({ address, guesses }) => ({ address: hex(address), guesses })) });
  }
  return found;
}
