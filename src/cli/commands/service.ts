import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Option } from 'commander';
import type { Driver } from '../../driver/contract.ts';
import { messageOf } from '../../errors/errors.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printLine, printNote } from '../output.ts';
import { init } from './init.ts';
import { releaseGuardians } from './release.ts';

interface ServiceOptions {
  /** Folder in place of /. With another one than / nothing is started. */
  readonly root: string;
}

const UNIT = '/etc/systemd/system/dcs-io.service';
const PACKAGED_UNIT = '/usr/lib/systemd/system/dcs-io.service';
const CONFIG = '/etc/dcs-io/dcs-io.yaml';

/** Adds `service install`, `service uninstall` and `service status`. */
export function addService(cli: CliCommand): void {
  const root = () =>
    new Option('--root <folder>', 'folder in place of /, to build an image; starts nothing').default('/');
  const service = cli.command('service').description('run the agent as a systemd service');
  service
    .command('install')
    .description('create and start a unit, with a user and a first configuration; keeps an existing configuration')
    .addOption(root())
    .examples('sudo dcs-io service install')
    .action(install);
  service
    .command('uninstall')
    .description('stop the service and remove its unit; keeps configuration and state')
    .addOption(root())
    .examples('sudo dcs-io service uninstall')
    .action(uninstall);
  service
    .command('status')
    .description("show systemd's status of the service")
    .examples('dcs-io service status')
    .action(status);
}

/** Installs the service, or installs it again after an upgrade. Keeps an existing configuration. */
async function install({ root }: ServiceOptions): Promise<void> {
  const packaged = join(root, PACKAGED_UNIT);
  if (existsSync(packaged)) {
    const advice =
      'sudo systemctl enable --now dcs-io; for another dcs-io, remove the package first: sudo apt remove dcs-io';
    throw new CliError(
      exitCodes.failed,
      `the Debian package of dcs-io has already installed the service: ${packaged}`,
      advice,
    );
  }
  const program = resolveProgram(root);
  const notifies = await canNotify();
  mkdirSync(join(root, 'etc'), { recursive: true });
  const config = join(root, CONFIG);
  const { driversFor } = await import('../../driver-registry.ts');
  const { groups, addressFamilies } = serviceNeeds(await driversFor(existsSync(config) ? config : undefined));
  const present = groups.filter((name) => readIds(join(root, 'etc/group')).has(name));
  run('systemd-sysusers', root === '/' ? ['-'] : [`--root=${root}`, '-'], usersText(present));
  const origin = 'Written by dcs-io service install, which writes it anew';
  write(join(root, UNIT), unitText({ program, origin, notifies, addressFamilies }));
  printLine(`wrote ${join(root, UNIT)}`);
  if (existsSync(config)) printLine(`kept ${config}`);
  else await init({ config, yes: true });
  setOwnership(root, config);
  if (root !== '/') {
    run('systemctl', [`--root=${root}`, 'enable', 'dcs-io.service']);
    return;
  }
  run('systemctl', ['daemon-reload']);
  run('systemctl', ['enable', 'dcs-io.service']);
  run('systemctl', ['restart', 'dcs-io.service']);
  printNote('it runs: dcs-io service status; its log: journalctl -u dcs-io');
}

/** Lets only root and the service read the configuration, which has password hashes; the keys belong to the service. */
function setOwnership(root: string, config: string): void {
  const keys = join(dirname(config), 'keys');
  mkdirSync(keys, { recursive: true });
  const user = readIds(join(root, 'etc/passwd')).get(serviceUser);
  const group = readIds(join(root, 'etc/group')).get(serviceUser);
  const give = (path: string, owner: number | undefined, mode: number) => {
    if (owner !== undefined && group !== undefined && process.getuid?.() === 0) lchownSync(path, owner, group);
    chmodSync(path, mode);
  };
  give(dirname(config), 0, 0o750);
  give(config, 0, 0o640);
  give(keys, user, 0o700);
  for (const entry of readdirSync(keys, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) give(path, user, 0o700);
    else if (entry.isFile()) give(path, user, 0o600);
  }
}

/** True when the agent can notify systemd of its start. Prints the reason when it cannot. */
async function canNotify(): Promise<boolean> {
  try {
    const { openNotifySocket } = await import('../../agent/service-manager.ts');
    (await openNotifySocket('@dcs-io')).close();
    return true;
  } catch (error) {
    printNote(`${messageOf(error)}; so the unit has Type=exec and no watchdog`);
    return false;
  }
}

/** Removes the service. Keeps the configuration and the agent's state. */
async function uninstall({ root }: ServiceOptions): Promise<void> {
  const unit = join(root, UNIT);
  if (!existsSync(unit)) throw new CliError(exitCodes.failed, `there is no ${unit}`, 'dcs-io service install makes it');
  run(
    'systemctl',
    root === '/' ? ['disable', '--now', 'dcs-io.service'] : [`--root=${root}`, 'disable', 'dcs-io.service'],
  );
  // Guardians and processes of actors outlive a stop (KillMode=process). The command fails when there are none.
  if (root === '/') spawnSync('systemctl', ['kill', 'dcs-io.service'], { stdio: 'ignore' });
  rmSync(unit, { force: true });
  if (root === '/') {
    run('systemctl', ['daemon-reload']);
    // No next start will take over the outputs that the guardian holds.
    await releaseGuardians(undefined);
  }
  printLine(`removed ${unit}; /etc/dcs-io and /var/lib/dcs-io are kept`);
}

/** Prints systemd's status; ends with the exit code of `systemctl status`. */
function status(): void {
  const { status: code, error } = spawnSync('systemctl', ['status', '--no-pager', 'dcs-io.service'], {
    stdio: 'inherit',
  });
  if (error) throw new CliError(exitCodes.failed, `systemctl cannot be run: ${error.message}`);
  process.exitCode = code ?? exitCodes.failed;
}

/** The paths of Node.js and of this program. Throws when the service's user cannot see them. */
function resolveProgram(root: string): string[] {
  const script = realpathSync(process.argv[1] ?? '');
  const program = [process.execPath, script];
  const hidden = program.find((path) => /^\/(root|home|tmp|run\/user)\//.test(path));
  if (hidden !== undefined && root === '/') {
    throw new CliError(
      exitCodes.failed,
      `the user of the service cannot see ${hidden}`,
      'install Node.js from a Debian package and dcs-io with sudo npm install -g, or use scripts/install',
    );
  }
  return program;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o644 });
}

/** The ids in a file like /etc/passwd or /etc/group, by name. */
function readIds(file: string): ReadonlyMap<string, number> {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  return new Map(lines.map((line) => [line.split(':')[0] ?? '', Number(line.split(':')[2])]));
}

function run(program: string, args: readonly string[], input = ''): void {
  const { status: code, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
  if (code === 0) return;
  const hint = process.getuid?.() === 0 ? undefined : 'it needs root: sudo dcs-io service …';
  throw new CliError(exitCodes.failed, `${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`, hint);
}

const serviceUser = 'dcs-io';

/** Rights that the service needs from the operating system. */
interface ServiceNeeds {
  readonly groups: readonly string[];
  /** Socket families beyond those of IP, netlink and local sockets. */
  readonly addressFamilies: readonly string[];
}

/** All rights that the drivers need. */
export function serviceNeeds(drivers: readonly Driver[]): ServiceNeeds {
  const needs = drivers.flatMap(({ access }) => access ?? []);
  return {
    groups: [...new Set(needs.flatMap(({ groups = [] }) => groups))],
    addressFamilies: [...new Set(needs.flatMap(({ addressFamilies = [] }) => addressFamilies))],
  };
}

/** Parts of the unit that differ from one installation to the next. */
interface UnitFacts {
  /** The command line that starts dcs-io, with absolute paths. */
  readonly program: readonly string[];
  /** First line of the unit: which program wrote it. */
  readonly origin: string;
  /** The agent can notify systemd of its start and its health, which needs npm koffi. */
  readonly notifies: boolean;
  readonly addressFamilies: readonly string[];
}

/** The systemd unit of the agent. */
export function unitText({ program, origin, notifies, addressFamilies }: UnitFacts): string {
  const command = [...program, 'run', '--config', '/etc/dcs-io/dcs-io.yaml'].map(quoted).join(' ');
  return `# ${origin}; own settings: systemctl edit dcs-io
[Unit]
Description=dcs-io, hardware I/O agent
Documentation=man:dcs-io(1)
# Not after network.target: hardware needs no network, and connections to other machines come up by themselves.
After=systemd-udevd.service
# Restarts are not limited: the cause of a failed start may be gone in a minute.
StartLimitIntervalSec=0

[Service]
Type=${notifies ? 'notify' : 'exec'}
ExecStart=${command}
Restart=always
RestartSec=1
# Exit code 2 is a wrong configuration, which a person has to correct.
RestartPreventExitStatus=2
${notifies ? 'WatchdogSec=10\n' : ''}# The agent stops within 2 s.
TimeoutStopSec=10
# The guardian outlives a crash and a stop, holds the outputs and hands them to the next start: no relay moves at a restart.
KillMode=process
RuntimeDirectory=dcs-io
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
StateDirectory=dcs-io
StateDirectoryMode=0750
${sandbox(addressFamilies)}
[Install]
WantedBy=multi-user.target
`;
}

/** The user of the service and the limits of its process. */
function sandbox(addressFamilies: readonly string[]): string {
  const families = ['AF_UNIX', 'AF_INET', 'AF_INET6', 'AF_NETLINK', ...addressFamilies];
  return `
# Hardware is opened through the groups that /etc/group gives this user.
User=${serviceUser}
Group=${serviceUser}
UMask=0027
CapabilityBoundingSet=
NoNewPrivileges=yes
# Devices are opened by their groups: PrivateDevices, DevicePolicy and ProtectClock (which implies one) would close them.
# /sys stays writable for PWM and lights, so no ProtectKernelTunables; the JavaScript engine makes code at run time, so no
# MemoryDenyWriteExecute.
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictAddressFamilies=${families.join(' ')}
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
`;
}

/** The service's user for systemd-sysusers, a member of `groups`. systemd-sysusers would create a group that is missing. */
export function usersText(groups: readonly string[]): string {
  const member = groups.map((group) => `m ${serviceUser} ${group}\n`);
  return `u ${serviceUser} - "dcs-io agent" /var/lib/dcs-io\n${member.join('')}`;
}

/** A word of a command line, quoted for systemd. */
function quoted(word: string): string {
  const text = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
