import { accessSync, constants, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { findChip } from '../../drivers/pwm/channel-files.ts';
import { systemCode } from '../errors/errors.ts';

/** What one check found. */
export interface CheckResult {
  readonly about: string;
  readonly state: 'good' | 'doubtful' | 'bad';
  readonly message: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** A process that has a file open. */
export interface Holder {
  readonly pid: number;
  readonly name: string;
}

type Access = (path: string) => void;
const readAndWrite: Access = (path) => accessSync(path, constants.R_OK | constants.W_OK);

/** Whether a device can be opened for reading and writing, and what to do if not. */
export function checkAccess(path: string, access: Access = readAndWrite): CheckResult {
  try {
    access(path);
    return { about: path, state: 'good', message: 'may be read and written' };
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') {
      return { about: path, state: 'bad', message: 'is not there', advice: missingDeviceAdvice(path) };
    }
    const { mode, gid } = statSync(path);
    const group = groupName(gid);
    const user = userInfo().username;
    const byGroup = (mode & 0o020) === 0o020 && gid !== 0;
    return {
      about: path,
      state: 'bad',
      message: `${user} may not read and write it (${code})`,
      advice: byGroup
        ? `sudo usermod -aG ${group} ${user}, then log in again`
        : `nobody but its owner may: a udev rule with GROUP="dcs-io", MODE="0660" opens it`,
    };
  }
}

/** Whether the channels of a PWM chip can be had. */
export async function checkPwmAccess(chip: string, root = '/sys'): Promise<CheckResult> {
  const folder = await findChip(root, chip);
  if (folder !== undefined) return checkAccess(join(folder, 'export'), (path) => accessSync(path, constants.W_OK));
  const advice = 'it comes with its overlay: dtoverlay=pwm in config.txt on a Raspberry Pi';
  return { about: `PWM chip ${chip}`, state: 'bad', message: 'is not there', advice };
}

function missingDeviceAdvice(path: string): string {
  if (path.startsWith('/dev/i2c-'))
    return 'on a Raspberry Pi: raspi-config, Interface Options, I2C; else modprobe i2c-dev';
  if (/^\/dev\/(serial0|ttyAMA|ttyS)/.test(path))
    return 'on a Raspberry Pi: raspi-config, Interface Options, Serial Port';
  return 'is it plugged in? dcs-io serial list shows the serial ports there are';
}

function groupName(gid: number): string {
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((text) => text.split(':')[2] === String(gid));
  return line?.split(':')[0] ?? String(gid);
}

/** Who else has a device open. Processes of other users are seen by root alone: `complete` tells whether all were. */
export function findHolders(path: string): { readonly holders: readonly Holder[]; readonly complete: boolean } {
  const target = realpathSync(path);
  const holders: Holder[] = [];
  let complete = true;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const files = readdirSync(`/proc/${pid}/fd`);
      if (files.some((fd) => linkTarget(`/proc/${pid}/fd/${fd}`) === target)) {
        holders.push({ pid: Number(pid), name: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() });
      }
    } catch (error) {
      // A process that has just ended holds nothing.
      if (systemCode(error) === 'EACCES' || systemCode(error) === 'EPERM') complete = false;
    }
  }
  return { holders, complete };
}

function linkTarget(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'EINVAL') return undefined;
    throw error;
  }
}

/** Whether a serial port is free for us: nobody has it open, and the kernel does not write its messages there. */
export function checkInUse(path: string, cmdline: string = readFileSync('/proc/cmdline', 'utf8')): CheckResult {
  const name = realpathSync(path).replace('/dev/', '');
  const consoles = [...cmdline.matchAll(/\bconsole=(\w+)/g)].map(([, console]) => console);
  if (consoles.includes(name) || consoles.some((one) => `/dev/${one}` === path)) {
    const advice =
      'on a Raspberry Pi: raspi-config, Interface Options, Serial Port: no login shell; else take it off the command line';
    return { about: path, state: 'bad', message: 'is the console of the kernel', advice };
  }
  const { holders, complete } = findHolders(path);
  const [first] = holders;
  if (first) {
    const list = holders.map(({ pid, name: program }) => `${program} (${pid})`).join(', ');
    return {
      about: path,
      state: 'doubtful',
      message: `is held by ${list}`,
      advice: `if that is not dcs-io itself, end it: kill ${first.pid}`,
    };
  }
  const message = complete ? 'nobody else has it open' : 'no process of this user has it open; as root all are seen';
  return { about: path, state: 'good', message };
}
