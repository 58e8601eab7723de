import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { CliError, exitCodes } from '../exit.ts';
import { printLine, printNote } from '../output.ts';
import { hardwareGroups, serviceUser, unitText } from '../service-unit.ts';
import { init } from './init.ts';

export interface ServiceOptions {
  /** Folder that stands for /: nothing is started then. */
  readonly root: string;
}

const UNIT = '/etc/systemd/system/dcs-io.service';
const CONFIG = '/etc/dcs-io/dcs-io.yaml';

/** Makes the agent a service that starts with the machine; again after an upgrade. A configuration that exists is kept. */
export async function install({ root }: ServiceOptions): Promise<void> {
  const program = programOf(root);
  const users = `u ${serviceUser} - "dcs-io agent" /var/lib/dcs-io\n`;
  const args = root === '/' ? ['-'] : [`--root=${root}`, '-'];
  mkdirSync(join(root, 'etc'), { recursive: true });
  run('systemd-sysusers', args, users);
  const groups = namesIn(join(root, 'etc/group'));
  const present = hardwareGroups.filter((name) => groups.has(name));
  write(join(root, UNIT), unitText(program, present));
  printLine(`wrote ${join(root, UNIT)}`);
  const config = join(root, CONFIG);
  if (existsSync(config)) printLine(`kept ${config}`);
  else await init({ config, yes: true });
  // Hashes of passwords stand there: for the service and its makers alone.
  const group = groups.get(serviceUser);
  for (const [path, mode] of [
    [dirname(config), 0o750],
    [config, 0o640],
  ] as const) {
    if (group !== undefined && process.getuid?.() === 0) chownSync(path, 0, group);
    chmodSync(path, mode);
  }
  if (root !== '/') {
    run('systemctl', [`--root=${root}`, 'enable', 'dcs-io.service']);
    return;
  }
  run('systemctl', ['daemon-reload']);
  run('systemctl', ['enable', 'dcs-io.service']);
  run('systemctl', ['restart', 'dcs-io.service']);
  printNote('it runs: dcs-io service status; its log: journalctl -u dcs-io');
}

/** Ends the service. The configuration and what the agent has kept stay. */
export function uninstall({ root }: ServiceOptions): void {
  const unit = join(root, UNIT);
  if (!existsSync(unit)) throw new CliError(exitCodes.failed, `there is no ${unit}`, 'dcs-io service install makes it');
  run(
    'systemctl',
    root === '/' ? ['disable', '--now', 'dcs-io.service'] : [`--root=${root}`, 'disable', 'dcs-io.service'],
  );
  rmSync(unit, { force: true });
  if (root === '/') run('systemctl', ['daemon-reload']);
  printLine(`removed ${unit}; /etc/dcs-io and /var/lib/dcs-io are kept`);
}

/** What systemd says of the service; ends like `systemctl status`. */
export function status(): void {
  const { status: code, error } = spawnSync('systemctl', ['status', '--no-pager', 'dcs-io.service'], {
    stdio: 'inherit',
  });
  if (error) throw new CliError(exitCodes.failed, `systemctl cannot be run: ${error.message}`);
  process.exitCode = code ?? exitCodes.failed;
}

/** Node and this program, as the service will find them. */
function programOf(root: string): string[] {
  const script = realpathSync(process.argv[1] ?? '');
  const program = [process.execPath, script];
  const hidden = program.find((path) => /^\/(root|home|tmp|run\/user)\//.test(path));
  if (hidden !== undefined && root === '/') {
    throw new CliError(
      exitCodes.failed,
      `the service has a user of its own, who cannot see ${hidden}`,
      'install Node.js from a Debian package and dcs-io with sudo npm install -g, or use scripts/install',
    );
  }
  return program;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o644 });
}

/** Names and numbers of an /etc/group. */
function namesIn(file: string): ReadonlyMap<string, number> {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  return new Map(lines.map((line) => [line.split(':')[0] ?? '', Number(line.split(':')[2])]));
}

function run(program: string, args: readonly string[], input = ''): void {
  const { status: code, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
  if (code === 0) return;
  const hint = process.getuid?.() === 0 ? undefined : 'it has to be root: sudo dcs-io service …';
  throw new CliError(exitCodes.failed, `${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`, hint);
}
