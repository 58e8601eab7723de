import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { type DeviceTree, readDeviceTree } from '../board/detect.ts';
import type { Driver } from '../driver/contract.ts';
import type { SystemFiles } from '../driver/placement.ts';
import { systemCode } from '../errors/errors.ts';

/** What reading a configuration asks of the computer it runs on. */
export interface Machine extends SystemFiles {
  hostname(): string;
  deviceTree(): DeviceTree;
}

export const thisMachine: Machine = {
  hostname,
  deviceTree: readDeviceTree,
  exists: existsSync,
  read: (path) => orElse(() => readFileSync(path), undefined),
  list: (path) => orElse(() => readdirSync(path), []),
};

function orElse<Found, Else>(look: () => Found, absent: Else): Found | Else {
  try {
    return look();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return absent;
  }
}

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
