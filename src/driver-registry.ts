import { createMock, mockOptions } from '../drivers/mock/driver.ts';
import type { Driver } from './driver/contract.ts';

const mock = createMock();

/** Every driver of this agent, loaded when it is wanted. The CLI is where they meet the rest; nothing else in src imports drivers/. */
const known: Readonly<Record<string, () => Promise<Driver>>> = {
  gpio: async () => (await import('../drivers/gpio/driver.ts')).gpio,
  i2c: async () => (await import('../drivers/i2c/driver.ts')).i2c,
  modbus: async () => (await import('../drivers/modbus/driver.ts')).modbus,
  pwm: async () => (await import('../drivers/pwm/driver.ts')).pwm,
  serial: async () => (await import('../drivers/serial/driver.ts')).serial,
  sysfs: async () => (await import('../drivers/sysfs/driver.ts')).sysfs,
  virtual: async () => (await import('../drivers/virtual/driver.ts')).virtual,
  mock: async () => mock,
};

export const driverNames: readonly string[] = Object.keys(known);

export function allDrivers(): Promise<readonly Driver[]> {
  return Promise.all(Object.values(known).map((load) => load()));
}

/** The drivers a text can be about: those whose name is in it. Their keys are named like them (`gpio: 17`). */
export function driversIn(text: string): Promise<readonly Driver[]> {
  const named = Object.entries(known).filter(([name]) => text.includes(name));
  return Promise.all(named.map(([, load]) => load()));
}

/** What stands in for a port under `--mock` or on the board `mock`. */
export const mockTwin = { driver: mock, options: mockOptions } as const;
