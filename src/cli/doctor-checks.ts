import { execFile } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { detectBoard } from '../board/detect.ts';
import { systemClock } from '../clock/clock.ts';
import type { Problem, ResolvedConfig, ResolvedPort } from '../config/resolved.ts';
import { lastingPaths, listPorts } from '../driver/kit/serial-ports.ts';
import { allDrivers } from '../driver-registry.ts';
import { messageOf, systemCode } from '../errors/errors.ts';
import { queryGuardians } from '../guardian/previous-guardians.ts';
import { agentIdentity, socketFolder } from '../guardian/takeover-socket.ts';
import { connect } from '../mesh/light-client.ts';
import { listAllowed, loadKeys } from '../mesh/security/keys.ts';
import { namePattern } from '../message/name-pattern.ts';
import { addressOf, defaultBus } from './bus-client.ts';
import { readConfig } from './config-file.ts';
import { CliError } from './exit.ts';
import { count } from './output.ts';

const REACH_MS = 2000;
const AGENT_MS = 5000;

/** The result of one check. */
export interface CheckResult {
  readonly about: string;
  readonly state: 'good' | 'doubtful' | 'bad';
  readonly message: string;
  /** The next step for a person. */
  readonly advice?: string;
}

/** A process that has a file open. */
export interface Holder {
  readonly pid: number;
  readonly name: string;
}

/** Runs every check, of the configuration first; yields each result as soon as it is known. */
export async function* runChecks(file: string | undefined, bus: string | undefined): AsyncGenerator<CheckResult> {
  const { config, results } = await checkConfig(file);
  yield* results;
  yield checkBoard();
  yield* await checkDevices(config);
  yield await checkClock();
  if (config) yield* checkKeys(config);
  yield* await checkBus(config, bus);
  if (config) yield* await checkGuardian(config);
}

async function checkConfig(file: string | undefined): Promise<{ config?: ResolvedConfig; results: CheckResult[] }> {
  try {
    const config = await readConfig(file, { skipBrokenDrivers: false });
    const about = config.file;
    const right: CheckResult = { about, state: 'good', message: `right, ${config.pins.length} pins` };
    return { config, results: [right, ...config.warnings.map(fromWarning)] };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const missing = error.message.startsWith('no configuration');
    const advice = missing ? 'dcs-io init writes one' : 'dcs-io check says more';
    return {
      results: [{ about: 'configuration', state: missing ? 'doubtful' : 'bad', message: error.message, advice }],
    };
  }
}

/** A warning of `check` as a result: a missing overlay or a bus that is off keeps the agent from working well. */
function fromWarning({ key, line, message, expected }: Problem): CheckResult {
  return {
    about: `${key}, line ${line}`,
    state: 'doubtful',
    message,
    ...(expected !== undefined && { advice: expected }),
  };
}

function checkBoard(): CheckResult {
  const board = detectBoard();
  if (!board)
    return { about: 'board', state: 'good', message: 'none that dcs-io knows; GPIO lines go by chip and offset' };
  const enabled = board.enabledBuses(existsSync);
  const off = board.buses.map(({ name }) => name).filter((name) => !enabled.includes(name));
  const buses = `on: ${enabled.join(', ') || 'no bus'}; off: ${off.join(', ') || 'none'}`;
  return {
    about: 'board',
    state: 'good',
    message: `${board.title}; ${buses}`,
    ...(off.length > 0 && {
      advice: 'turn a bus on with dtparam= and dtoverlay= in config.txt, or with raspi-config',
    }),
  };
}

/** Checks the devices of the configuration's ports; without a configuration, those that the drivers of this version open. */
async function checkDevices(config: ResolvedConfig | undefined): Promise<CheckResult[]> {
  if (config) {
    const results = await Promise.all(config.ports.filter(({ mock }) => !mock).map(checkPort));
    // Several ports may open one device.
    return [...new Map(results.flat().map((result) => [JSON.stringify(result), result])).values()];
  }
  const serial = new Set(listPorts().map(({ path }) => path));
  const paths = (await allDrivers()).flatMap(({ access }) => access?.devices ?? []).flatMap(expandPath);
  // The kernel has /dev/ttyS* without hardware behind them.
  const present = [...new Set(paths)].filter((path) => !path.startsWith('/dev/tty') || serial.has(path));
  // No port is known to need them, so none is bad.
  return present
    .flatMap((path) => checkDevice(path))
    .map((result) => ({ ...result, state: result.state === 'bad' ? 'doubtful' : result.state }));
}

/** Checks the devices that a port opens. */
export async function checkPort({ driver, options }: Pick<ResolvedPort, 'driver' | 'options'>): Promise<CheckResult[]> {
  const claim = driver.claims?.(options);
  const paths = await driver.devicePaths?.(options);
  const advice = driver.access?.hint;
  if (paths?.length === 0) {
    return [{ about: claim ?? driver.name, state: 'bad', message: 'is not there', ...(advice && { advice }) }];
  }
  return (paths ?? (claim?.startsWith('/dev/') ? [claim] : [])).flatMap((path) => checkDevice(path, advice));
}

function checkDevice(path: string, hint?: string): CheckResult[] {
  const access = checkAccess(path, hint);
  const serial = existsSync(path) && (/^\/dev\/(tty|serial)/.test(path) || lastingPaths().has(path));
  return serial ? [access, checkInUse(path)] : [access];
}

/** The files that match a path in which `*` stands for any text without `/`. */
function expandPath(pattern: string): string[] {
  const [, ...parts] = pattern.split('/');
  const matches = parts.reduce<string[]>(
    (folders, part) =>
      folders.flatMap((folder) => {
        if (!part.includes('*')) return [`${folder}/${part}`];
        const names = existsSync(folder || '/') ? readdirSync(folder || '/').filter(namePattern(part)) : [];
        return names
          .sort((first, second) => first.localeCompare(second, 'en', { numeric: true }))
          .map((name) => `${folder}/${name}`);
      }),
    [''],
  );
  return matches.filter((path) => existsSync(path));
}

/** Checks that the clock is synchronized: reports carry the time of day, on which machines have to agree. */
async function checkClock(): Promise<CheckResult> {
  const about = 'clock';
  const advice = 'sudo timedatectl set-ntp true, and a time server that can be reached';
  try {
    const args = ['show', '--property=NTPSynchronized', '--value'];
    const { stdout } = await promisify(execFile)('timedatectl', args, { timeout: REACH_MS });
    if (stdout.trim() === 'yes') return { about, state: 'good', message: 'is set by a time server' };
    return { about, state: 'doubtful', message: 'is not set by a time server', advice };
  } catch (error) {
    const message = `cannot be asked: ${messageOf(error).split('\n')[0]}`;
    return { about, state: 'doubtful', message, advice };
  }
}

function checkKeys({ bus }: ResolvedConfig): CheckResult[] {
  const about = 'keys';
  if (!bus.enabled) return [];
  if (!bus.security) {
    if (!bus.insecure) return [{ about, state: 'good', message: 'not needed: the bus is open to this machine alone' }];
    const advice = 'dcs-io keys new, and bus: { security: { keys: … } } in place of insecure';
    return [{ about, state: 'doubtful', message: 'everybody who reaches the bus may command the outputs', advice }];
  }
  const { keys } = bus.security;
  try {
    loadKeys(keys);
  } catch (error) {
    return [{ about, state: 'bad', message: messageOf(error), advice: `dcs-io keys new --keys ${keys}` }];
  }
  const { grants, broken } = listAllowed(keys);
  return [
    grants.length > 0
      ? { about, state: 'good', message: `there, and ${count(grants.length, 'other')} allowed` }
      : { about, state: 'doubtful', message: 'no other key is allowed', advice: "dcs-io keys allow NAME 'KEY'" },
    ...broken.map((name): CheckResult => {
      const advice = `dcs-io keys allow ${name} 'KEY' writes it again, dcs-io keys revoke ${name} removes it`;
      return { about, state: 'bad', message: `${keys}/allowed/${name} cannot be read`, advice };
    }),
  ];
}

async function checkBus(config: ResolvedConfig | undefined, asked: string | undefined): Promise<CheckResult[]> {
  const own = config ? addressOf(config) : { bus: defaultBus() };
  const address = { ...own, bus: asked ?? process.env['DCS_IO_BUS'] ?? own.bus };
  const about = `bus at ${address.bus}`;
  const here = await connect({ ...address, timeoutMs: AGENT_MS })
    .then((client) => client.close())
    .then(
      (): CheckResult => ({ about, state: 'good', message: 'an agent answers' }),
      (error: unknown): CheckResult => ({
        about,
        // A bus named by --bus must answer; the agent of this machine may not be started yet.
        state: asked === undefined ? 'doubtful' : 'bad',
        message: messageOf(error),
        advice: 'systemctl status dcs-io, or dcs-io run',
      }),
    );
  const others = [...(config?.bus.brokers ?? []), ...(config?.bus.proxyBrokers ?? [])];
  return [here, ...(await Promise.all(others.map((broker) => checkReachable(broker.host, broker.rx))))];
}

/** Reports the guardians of the agent and the outputs they hold. */
async function checkGuardian({ file, node }: ResolvedConfig): Promise<CheckResult[]> {
  const about = 'guardian';
  const seen = await queryGuardians(socketFolder(), agentIdentity(file, node), systemClock);
  return seen.map(({ guardian, agent, found, held }): CheckResult => {
    const who = `process ${guardian}`;
    if (found === 'running')
      return { about, state: 'good', message: `${who} watches over the agent, process ${agent}` };
    const what = held.length > 0 ? `holds outputs of ${held.join(', ')}` : 'is still driving outputs';
    const why = found === 'stopped' ? 'since the agent was stopped' : 'since the agent crashed';
    const advice = 'the next start of the agent takes over; dcs-io release releases them';
    return { about, state: found === 'stopped' ? 'good' : 'doubtful', message: `${who} ${what} ${why}`, advice };
  });
}

/** Checks whether a TCP port of another machine accepts connections. */
function checkReachable(host: string, port: number): Promise<CheckResult> {
  const about = `broker ${host}:${port}`;
  const advice = 'is that machine on, is its agent running, does a firewall block it? ping, then nc -vz';
  return new Promise((resolve) => {
    const socket = createConnection({ host, port, timeout: REACH_MS });
    const end = (finding: CheckResult) => {
      socket.destroy();
      resolve(finding);
    };
    socket.once('connect', () => end({ about, state: 'good', message: 'accepts connections' }));
    socket.once('timeout', () => end({ about, state: 'bad', message: `no answer within ${REACH_MS} ms`, advice }));
    socket.once('error', (error) => end({ about, state: 'bad', message: messageOf(error), advice }));
  });
}

/** Checks whether this user can open a device, and says what to do if not. `hint`: how the device comes to exist. */
export function checkAccess(path: string, hint?: string, access: (path: string) => void = tryAccess): CheckResult {
  try {
    access(path);
    return { about: path, state: 'good', message: 'may be read and written' };
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') {
      return { about: path, state: 'bad', message: 'is not there', ...(hint !== undefined && { advice: hint }) };
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
        : `only its owner may: a udev rule with GROUP="dcs-io", MODE="0660" opens it`,
    };
  }
}

/** Throws when this user may not open a file in the ways its mode provides: some files of sysfs can only be written. */
function tryAccess(path: string): void {
  const { mode } = statSync(path);
  accessSync(path, (mode & 0o444) === 0 ? constants.W_OK : constants.R_OK | constants.W_OK);
}

function groupName(gid: number): string {
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((text) => text.split(':')[2] === String(gid));
  return line?.split(':')[0] ?? String(gid);
}

/** The processes that have a device open. `complete` is false when processes of other users could not be seen. */
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

/** Checks that a serial port is free: no process has it open, and the kernel does not use it as its console. */
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
  const message = complete ? 'no process has it open' : 'no process of this user has it open; root sees all processes';
  return { about: path, state: 'good', message };
}
