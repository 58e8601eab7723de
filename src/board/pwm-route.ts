import { join } from 'node:path';
import type { PwmOutput } from './board.ts';

/** What a computer shows of itself. */
export interface SystemFiles {
  /** Undefined: there is no such file, or this process may not read it. */
  read(path: string): Buffer | undefined;
  /** The names in a folder; none when there is none. */
  list(path: string): string[];
}

const DEVICE_TREE = '/proc/device-tree';

/**
 * Whether the processor's PWM comes out at a line, as far as every user can see: the device tree with the firmware's
 * overlays in it, or the state file of BeagleBone's universal cape. Who has since taken such a line as GPIO (gpioset) has
 * cut it off, which no file shows.
 */
export function isPwmConnected({ connectedWhen: shown }: PwmOutput, files: SystemFiles): boolean {
  if ('state' in shown) return textIn(files.read(shown.state)) === 'pwm';
  const node = (label: string): string | undefined => {
    const path = textIn(files.read(join(DEVICE_TREE, '__symbols__', label)));
    return path === undefined ? undefined : join(DEVICE_TREE, path);
  };
  const [pwm, gpio] = [node('pwm'), node('gpio')];
  if (pwm === undefined || gpio === undefined) return false;
  const status = textIn(files.read(join(pwm, 'status'))) ?? 'okay';
  if (status !== 'okay' && status !== 'ok') return false;
  const wanted = cells(files.read(join(pwm, 'pinctrl-0')));
  return files.list(gpio).some((name) => {
    const pins = join(gpio, name);
    const [phandle] = cells(files.read(join(pins, 'phandle')));
    if (phandle === undefined || !wanted.includes(phandle)) return false;
    const at = cells(files.read(join(pins, 'brcm,pins'))).indexOf(shown.offset);
    const functions = cells(files.read(join(pins, 'brcm,function')));
    // One function stands for all pins.
    return at >= 0 && (functions.length === 1 ? functions[0] : functions[at]) === shown.function;
  });
}

/** Text of sysfs ends with a line break, that of a device tree with a NUL. */
function textIn(found: Buffer | undefined): string | undefined {
  return found?.toString('utf8').replace(/[\0\n]+$/, '');
}

/** 32-bit numbers of a device tree. */
function cells(found: Buffer | undefined): number[] {
  if (found === undefined) return [];
  return Array.from({ length: Math.floor(found.length / 4) }, (_, at) => found.readUInt32BE(at * 4));
}
