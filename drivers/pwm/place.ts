import { join } from 'node:path';
import type { PinPlacer, Placement, PwmOutput, SystemFiles } from '../../src/driver/placement.ts';

/** The processor's PWM drives the line itself: it can be neither open-drain nor biased. */
const KEYS = ['gpio', 'pwm'];
const DEVICE_TREE = '/proc/device-tree';

/** Places a GPIO line with `pwm:` on the processor's PWM when that comes out at the line. */
export const pwmPlacer: PinPlacer = {
  keys: KEYS,
  usage: 'gpio: LINE, pwm: HERTZ',
  place(pin): Placement {
    const line = pin.line('gpio');
    if (line === undefined || pin.board === undefined) return { kind: 'invalid' };
    const output = pin.board.pwmOutput(line);
    if (output === undefined) {
      const names = pin.board.pwmLines();
      const expected = names.length === 0 ? 'a PWM chip and driver pwm' : `one of ${names.join(', ')}`;
      return { kind: 'declined', advice: { expected } };
    }
    const frequency = pin.keys.get('pwm');
    if (typeof frequency !== 'number') return { kind: 'declined' };
    const others = [...pin.keys.keys()].filter((key) => !KEYS.includes(key));
    if (others.length > 0) return { kind: 'declined', advice: { expected: `a pin without ${others.join(', ')}` } };
    // Another computer's device tree cannot be read here, and a simulated computer has every output.
    if (pin.onThisComputer && !isPwmConnected(output, pin.files)) {
      const message =
        'the processor’s PWM does not come out at this line: software switches it, an edge up to 2 ms late';
      const expected = `${output.howToConnect}, and a restart of the computer`;
      return { kind: 'declined', advice: { message, expected } };
    }
    if (!pin.onThisComputer && pin.files.exists(`/sys/bus/platform/devices/${output.chip}`)) {
      const message =
        'whether the processor’s PWM comes out at this line cannot be seen here: this computer is not known';
      pin.warning('pwm', message, output.howToConnect);
    }
    return {
      kind: 'placed',
      port: { name: `pwm.${output.chip}`, options: { chip: output.chip }, mock: line.mock },
      changed: {
        pwm: { from: 'gpio', value: output.channel },
        frequency: { from: 'pwm', value: frequency },
      },
      removed: ['gpio'],
      lines: [{ key: 'gpio', line }],
    };
  },
};

/**
 * Tells whether the processor's PWM comes out at a line. Reads the device tree with the firmware's overlays in it, or the
 * state file of BeagleBone's universal cape. A program that has since taken the line as GPIO (gpioset) has
 * disconnected it, which no file shows.
 */
function isPwmConnected({ connectedWhen }: PwmOutput, files: SystemFiles): boolean {
  if ('state' in connectedWhen) return textIn(files.read(connectedWhen.state)) === 'pwm';
  const [pwm, gpio] = [nodeOf('pwm', files), nodeOf('gpio', files)];
  if (pwm === undefined || gpio === undefined) return false;
  const status = textIn(files.read(join(pwm, 'status'))) ?? 'okay';
  if (status !== 'okay' && status !== 'ok') return false;
  const used = cells(files.read(join(pwm, 'pinctrl-0')));
  return files.list(gpio).some((name) => {
    const group = join(gpio, name);
    const [phandle] = cells(files.read(join(group, 'phandle')));
    if (phandle === undefined || !used.includes(phandle)) return false;
    const index = cells(files.read(join(group, 'brcm,pins'))).indexOf(connectedWhen.offset);
    const functions = cells(files.read(join(group, 'brcm,function')));
    // One function stands for all pins.
    return index >= 0 && (functions.length === 1 ? functions[0] : functions[index]) === connectedWhen.function;
  });
}

/** The folder of a labelled node of the device tree. */
function nodeOf(label: string, files: SystemFiles): string | undefined {
  const path = textIn(files.read(join(DEVICE_TREE, '__symbols__', label)));
  return path === undefined ? undefined : join(DEVICE_TREE, path);
}

/** Text of sysfs ends with a line break, text of a device tree with a NUL. */
function textIn(found: Buffer | undefined): string | undefined {
  return found?.toString('utf8').replace(/[\0\n]+$/, '');
}

/** 32-bit numbers of a device tree. */
function cells(found: Buffer | undefined): number[] {
  if (found === undefined) return [];
  return Array.from({ length: Math.floor(found.length / 4) }, (_, at) => found.readUInt32BE(at * 4));
}
