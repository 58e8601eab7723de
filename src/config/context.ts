import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { type DeviceTree, readDeviceTree } from '../board/detect.ts';
import type { Driver } from '../driver/contract.ts';
import type { SystemFiles } from '../driver/placement.ts';
import { systemCode } from '../errors/errors.ts';

/** The computer that a configuration is read on, as far as its meaning depends on it. */
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
  /** The drivers that ports may name, beside those that `drivers:` of the configuration loads. */
  readonly drivers: readonly Driver[];
  /** Loads a driver of others by package name or file, relative to a folder. Rejects with a DcsError that says what is wrong. */
  readonly loadDriver?: (specifier: string, folder: string) => Promise<Driver>;
  /** A driver that cannot be loaded is a warning, and its pins are bad. Otherwise it is an error. */
  readonly skipBrokenDrivers?: boolean;
  /** Why drivers of the configuration could not be loaded; a port of an unknown driver may be theirs. */
  readonly driverFailures?: readonly string[];
  /** Replace all hardware by the mock driver. */
  readonly mock?: boolean;
  readonly machine?: Machine;
  /** Folder of boards and device profiles; default: the one of this package. */
  readonly dataFolder?: string;
  /** Folder of the user's own device profiles. */
  readonly profileFolder?: string;
}
