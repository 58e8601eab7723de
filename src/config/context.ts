import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { type DeviceTree, readDeviceTree } from '../board/detect.ts';
import type { Driver } from '../driver/driver.ts';

/** What reading a configuration asks of the computer it runs on. */
export interface Machine {
  hostname(): string;
  deviceTree(): DeviceTree;
  exists(path: string): boolean;
}

export const thisMachine: Machine = { hostname, deviceTree: readDeviceTree, exists: existsSync };

export interface ConfigContext {
  /** Every driver a port may name. */
  readonly drivers: readonly Driver[];
  /** Open the mock in place of all hardware. */
  readonly mock?: boolean;
  readonly machine?: Machine;
  /** Folder of boards and device profiles; by default the one shipped. */
  readonly dataFolder?: string;
  /** Folder of the user's own device profiles. */
  readonly profileFolder?: string;
}
