import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { detectBoard } from '../../board/detect.ts';
import { systemClock } from '../../clock/clock.ts';
import type { Problem, ResolvedConfig } from '../../config/resolved.ts';
import { lastingPaths, listPorts } from '../../driver/kit/serial-ports.ts';
import { messageOf } from '../../errors/errors.ts';
import { queryGuardians } from '../../guardian/previous-guardians.ts';
import { agentIdentity, socketFolder } from '../../guardian/takeover-socket.ts';
import { listAllowed, loadKeys } from '../../mesh/security/keys.ts';
import { BusClient, busEndpoint } from '../bus-client.ts';
import { readConfig } from '../config-file.ts';
import { type CheckResult, checkAccess, checkInUse, checkPwmAccess } from '../device-doctor.ts';
import { CliError, exitCodes } from '../exit.ts';
import { colour, printJson, printLine } from '../output.ts';

export interface DoctorOptions {
  readonly config?: string;
  readonly bus?: string;
  readonly json?: boolean;
}

const REACH_MS = 2000;
const AGENT_MS = 5000;

/** Looks for what keeps the agent from working, and says what to do. Fails when something is bad. */
export async function doctor(options: DoctorOptions): Promise<void> {
  let bad = 0;
  const tell = (found: readonly CheckResult[]) => {
    for (const one of found) {
      if (one.state === 'bad') bad++;
      if (options.json) printJson(one);
      else print(one);
    }
  };
  const { config, findings } = await configOf(options.config);
  tell(findings);
  tell([boardFinding()]);
  // Without a configuration nobody has said that a device is needed.
  const calm = ({ state, ...rest }: CheckResult): CheckResult => ({
    ...rest,
    state: state === 'bad' ? 'doubtful' : state,
  });
  const devices = [
    ...devicesOf(config).flatMap(deviceFindings),
    ...(await Promise.all(pwmChips(config).map((chip) => checkPwmAccess(chip)))),
  ];
  tell(config ? devices : devices.map(calm));
  tell([await clockFinding()]);
  if (config) tell(keyFindings(config));
  tell(await busFindings(config, options.bus));
  if (config) tell(await guardianFindings(config));
  if (bad === 0) return;
  process.exitCode = exitCodes.failed;
}

function print({ about, state, message, advice }: CheckResult): void {
  const sign = { good: colour.green('ok '), doubtful: colour.yellow('?  '), bad: colour.red('BAD') }[state];
  printLine(`${sign}  ${colour.bold(about)}: ${message}`);
  if (advice !== undefined) printLine(`     ${advice}`);
}

async function configOf(file: string | undefined): Promise<{ config?: ResolvedConfig; findings: CheckResult[] }> {
  try {
    const config = await readConfig(file, false);
    const about = config.file;
    const right: CheckResult = { about, state: 'good', message: `right, ${config.pins.length} pins` };
    return { config, findings: [right, ...config.warnings.map(doubtAbout)] };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const missing = error.message.startsWith('no configuration');
    const advice = missing ? 'dcs-io init writes one' : 'dcs-io check says more';
    return {
      findings: [{ about: 'configuration', state: missing ? 'doubtful' : 'bad', message: error.message, advice }],
    };
  }
}

/** What `check` warns of keeps the agent from working well: an overlay that is missing, a bus that is off. */
function doubtAbout({ key, line, message, expected }: Problem): CheckResult {
  return {
    about: `${key}, line ${line}`,
    state: 'doubtful',
    message,
    ...(expected !== undefined && { advice: expected }),
  };
}

function boardFinding(): CheckResult {
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
      advice: 'what is off is turned on by dtparam= and dtoverlay= in config.txt, or raspi-config',
    }),
  };
}

/** The device files that matter: those of the configuration, or without one all of the kinds we use. */
function devicesOf(config: ResolvedConfig | undefined): string[] {
  const files = (pattern: RegExp) => readdirSync('/dev').filter((name) => pattern.test(name));
  const chips = files(/^gpiochip\d+$/).map((name) => `/dev/${name}`);
  if (!config) {
    return [...chips, ...files(/^i2c-\d+$/).map((name) => `/dev/${name}`), ...listPorts().map(({ path }) => path)];
  }
  const real = config.ports.filter(({ mock }) => !mock);
  const claimed = real.map(({ driver, options }) => driver.claims?.(options) ?? '');
  const gpio = real.some(({ driver }) => driver.name === 'gpio');
  return [...(gpio ? chips : []), ...new Set(claimed.filter((path) => path.startsWith('/dev/')))];
}

function pwmChips(config: ResolvedConfig | undefined): string[] {
  return (config?.ports ?? []).flatMap(({ driver, mock, options }) => {
    return driver.name === 'pwm' && !mock ? chipOf(options) : [];
  });
}

function chipOf(options: unknown): string[] {
  const named = typeof options === 'object' && options !== null && 'chip' in options ? options.chip : undefined;
  return typeof named === 'string' ? [named] : [];
}

function deviceFindings(path: string): CheckResult[] {
  const access = checkAccess(path);
  const serial = existsSync(path) && (/^\/dev\/(tty|serial)/.test(path) || lastingPaths().has(path));
  return serial ? [access, checkInUse(path)] : [access];
}

/** Reports carry the time of day: machines that are to agree on it need a clock that is set. */
async function clockFinding(): Promise<CheckResult> {
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

function keyFindings({ bus }: ResolvedConfig): CheckResult[] {
  const about = 'keys';
  if (!bus.enabled) return [];
  if (!bus.security) {
    if (!bus.insecure) return [{ about, state: 'good', message: 'not needed: the bus is open to this machine alone' }];
    const advice = 'dcs-io keys new, and bus: { security: { keys: … } } in place of insecure';
    return [{ about, state: 'doubtful', message: 'anybody who reaches the bus may command the outputs', advice }];
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
      ? { about, state: 'good', message: `there, and ${grants.length} others are let in` }
      : { about, state: 'doubtful', message: 'nobody else is let in', advice: "dcs-io keys allow NAME 'KEY'" },
    ...broken.map((name): CheckResult => {
      const advice = `dcs-io keys allow ${name} 'KEY' makes it anew, dcs-io keys revoke ${name} takes it away`;
      return { about, state: 'bad', message: `${keys}/allowed/${name} makes no sense`, advice };
    }),
  ];
}

async function busFindings(config: ResolvedConfig | undefined, asked: string | undefined): Promise<CheckResult[]> {
  const own = config ? `127.0.0.1:${config.bus.rx}:${config.bus.tx}` : undefined;
  const endpoint = busEndpoint(asked ?? process.env['DCS_IO_BUS'] ?? own);
  const about = `bus at ${endpoint.host}:${endpoint.rx}:${endpoint.tx}`;
  const client = new BusClient(endpoint);
  const here = await client.connect(AGENT_MS).then(
    (): CheckResult => ({ about, state: 'good', message: 'an agent answers' }),
    (error: unknown): CheckResult => ({
      about,
      // Who names a bus expects somebody there; on this machine the agent may just not have been started yet.
      state: asked === undefined ? 'doubtful' : 'bad',
      message: messageOf(error),
      advice: 'systemctl status dcs-io, or dcs-io run',
    }),
  );
  await client.close();
  const others = [...(config?.bus.brokers ?? []), ...(config?.bus.proxyBrokers ?? [])];
  return [here, ...(await Promise.all(others.map(({ host, rx }) => reach(host, rx))))];
}

/** Who holds the outputs, the agent apart. */
async function guardianFindings({ file, node }: ResolvedConfig): Promise<CheckResult[]> {
  const about = 'guardian';
  const seen = await queryGuardians(socketFolder(), agentIdentity(file, node), systemClock);
  return seen.map(({ guardian, agent, found, held }): CheckResult => {
    const who = `process ${guardian}`;
    if (found === 'running')
      return { about, state: 'good', message: `${who} watches over the agent, process ${agent}` };
    const what = held.length > 0 ? `holds outputs of ${held.join(', ')}` : 'is still driving outputs';
    const why = found === 'stopped' ? 'since the agent was stopped' : 'since the agent crashed';
    const advice = 'the next start of the agent takes over; dcs-io release lets go';
    return { about, state: found === 'stopped' ? 'good' : 'doubtful', message: `${who} ${what} ${why}`, advice };
  });
}

/** Whether a TCP port of another machine takes connections. */
function reach(host: string, port: number): Promise<CheckResult> {
  const about = `broker ${host}:${port}`;
  const advice = 'is that machine on, is its agent running, does a firewall stand between? ping, then nc -vz';
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: REACH_MS });
    const end = (finding: CheckResult) => {
      socket.destroy();
      resolve(finding);
    };
    socket.once('connect', () => end({ about, state: 'good', message: 'takes connections' }));
    socket.once('timeout', () => end({ about, state: 'bad', message: `no answer within ${REACH_MS} ms`, advice }));
    socket.once('error', (error) => end({ about, state: 'bad', message: messageOf(error), advice }));
  });
}
