import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { createI2c } from '../../drivers/i2c/driver.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { pinKeys } from '../../src/config/schema.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { openPort, type PinKeys } from '../support/ports.ts';
import { SimBus } from './sim-bus.ts';

/** A reading in short: its value, or the code of its error. */
export const outcome = (reading: Reading | undefined) => (reading?.ok ? reading.value : reading?.error.code);

/** A simulated bus with a clock in the test's hand, and pins to open on it. */
export async function bench(...pins: PinKeys[]) {
  const bus = new SimBus();
  const clock = new ManualClock();
  return { bus, clock, open: () => open(bus, clock, pins) };
}

async function open(bus: SimBus, clock: ManualClock, pins: readonly PinKeys[]) {
  const driver = createI2c(async () => bus);
  const held = await openPort(driver, { bus: 1 }, pins, clock);
  const seen = held.channels.map((channel) => {
    const values: unknown[] = [];
    held.listen(channel, (reading) => values.push(outcome(reading)));
    return values;
  });
  const channel = (at: number) => {
    const found = held.channels[at];
    if (!found) throw new Error(`no pin ${at}`);
    return found;
  };
  return { ...held, seen, channel };
}

/** Pins of a profile, with the keys that belong to the driver. */
export function profile(file: string, address: number): Map<string, object> {
  const schema = z.object({
    defaults: z.record(z.string(), z.unknown()).default({}),
    pins: z.record(z.string(), z.record(z.string(), z.unknown())),
  });
  const { defaults, pins } = schema.parse(parse(readFileSync(join('boards/i2c', file), 'utf8')));
  return new Map(
    Object.entries(pins).map(([name, keys]) => {
      const all = Object.entries({ address, ...defaults, ...keys }).filter(([key]) => !(key in pinKeys));
      return [name, Object.fromEntries(all)];
    }),
  );
}

const mcp = profile('microchip/mcp23017.yaml', 0x20);

/** A pin of an MCP23017 at 0x20. */
export function mcpPin(name: string, direction: 'in' | 'out', start?: boolean): PinKeys {
  return { keys: mcp.get(name) ?? {}, direction, ...(start === undefined ? {} : { start }) };
}
