import { gpio } from '../../drivers/gpio/driver.ts';
import { i2c } from '../../drivers/i2c/driver.ts';
import { createMock, mockOptions } from '../../drivers/mock/driver.ts';
import { modbus } from '../../drivers/modbus/driver.ts';
import { pwm } from '../../drivers/pwm/driver.ts';
import { serial } from '../../drivers/serial/driver.ts';
import { sysfs } from '../../drivers/sysfs/driver.ts';
import { virtual } from '../../drivers/virtual/driver.ts';
import type { Driver } from '../driver/driver.ts';

const mock = createMock();

/** Every driver of this agent. The CLI is where they meet the rest; nothing else in src imports drivers/. */
export const drivers: readonly Driver[] = [gpio, i2c, modbus, pwm, serial, sysfs, virtual, mock];

/** What stands in for a port under `--mock` or on the board `mock`. */
export const mockTwin = { driver: mock, options: mockOptions } as const;
