import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/agent-process.ts';
import { Machine, setUpMachines } from './support/machine.ts';

const LONG = 120_000;

const shared = mkdtempSync(join(tmpdir(), 'dcs-io-shared-'));
let machine: Machine;

/** The machine has no network: npm finds in the cache what an install on this host has just loaded. */
beforeAll(async () => {
  setUpMachines();
  const npm = (...args: string[]) =>
    execFileSync('npm', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const cache = join(shared, 'cache');
  for (const folder of [cache, join(shared, 'npm')]) mkdirSync(folder);
  npm('pack', '--silent', '--ignore-scripts', '--pack-destination', shared);
  const [file = ''] = execFileSync('sh', ['-c', `ls ${shared}/dcs-io-*.tgz`], { encoding: 'utf8' }).split('\n');
  npm(
    'install',
    '-g',
    '--prefix',
    join(shared, 'warm'),
    '--cache',
    cache,
    '--ignore-scripts',
    '--no-fund',
    '--no-audit',
    '--prefer-offline',
    file,
  );
  // npm chooses versions of packages by the version of Node.js, so the machine has the one under test.
  mkdirSync(join(shared, 'bin'));
  copyFileSync(process.execPath, join(shared, 'bin/node'));
  const whichNpm = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
  machine = await Machine.start({
    [shared]: '/shared',
    [root]: '/checkout',
    [join(realpathSync(whichNpm), '../..')]: '/usr/lib/node_modules/npm',
  });
  await machine.sh(`ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/bin/npm
cp -f /shared/bin/node /usr/bin/node
printf 'cache=/shared/cache\\noffline=true\\nregistry=${npm('config', 'get', 'registry').trim()}\\nupdate-notifier=false\\n' > /root/.npmrc
groupadd --system gpio`);
}, 600_000);

afterAll(async () => {
  await machine?.stop();
  rmSync(shared, { recursive: true, force: true });
});

describe('npm install -g and dcs-io service install, on a machine with systemd', () => {
  it(
    'make a service that runs as its own user, in the groups of the hardware, and answers',
    async () => {
      expect(await machine.sh('node --version')).toBe(process.version);
      await machine.sh('npm install -g --ignore-scripts --no-fund --no-audit /shared/dcs-io-*.tgz');
      expect(await machine.sh('dcs-io service install')).toContain('wrote /etc/systemd/system/dcs-io.service');
      expect(await machine.service('ActiveState')).toBe('active');
      expect(await machine.service('UnitFileState')).toBe('enabled');
      expect(await machine.service('WatchdogUSec')).toBe('10s');
      const pid = await machine.service('MainPID');
      expect(await machine.sh(`stat -c %U /proc/${pid}`)).toBe('dcs-io');
      expect((await machine.sh('id -nG dcs-io')).split(' ').sort()).toEqual(['dcs-io', 'dialout', 'gpio']);
      expect(await machine.sh('dcs-io set ready off && dcs-io get ready')).toContain('off');
      expect(await machine.sh('dcs-io service status')).toContain('active (running)');
    },
    LONG,
  );

  it(
    'scripts/install from a checkout upgrades it, and keeps configuration and keys',
    async () => {
      await machine.sh('dcs-io keys new --keys /etc/dcs-io/keys && echo "# mine" >> /etc/dcs-io/dcs-io.yaml');
      const kept = 'sha256sum /etc/dcs-io/dcs-io.yaml /etc/dcs-io/keys/node.key';
      const before = { pid: await machine.service('MainPID'), files: await machine.sh(kept) };
      await machine.sh('npm uninstall -g dcs-io && /checkout/scripts/install');
      expect(await machine.sh(kept)).toBe(before.files);
      expect(await machine.sh('stat -c %U /etc/dcs-io/keys/node.key')).toBe('dcs-io');
      expect(await machine.service('ActiveState')).toBe('active');
      expect(await machine.service('MainPID')).not.toBe(before.pid);
      expect(await machine.sh('dcs-io get ready')).toContain('ready');
    },
    LONG,
  );

  it(
    'the Debian package refuses to install beside it',
    async () => {
      const { code, stderr } = await machine.run('sh', '/checkout/scripts/debian/preinst', 'install');
      expect(code).toBe(1);
      expect(stderr).toContain('dcs-io service uninstall');
    },
    LONG,
  );

  it(
    'uninstall leaves no unit and no process, but configuration and state',
    async () => {
      expect(await machine.sh('dcs-io service uninstall')).toContain('are kept');
      expect(await machine.service('LoadState')).toBe('not-found');
      expect(await machine.sh('find /proc -maxdepth 1 -user dcs-io')).toBe('');
      await machine.sh('ls /etc/dcs-io/dcs-io.yaml /var/lib/dcs-io/*.jsonl');
      expect((await machine.run('dcs-io', 'service', 'status')).code).not.toBe(0);
    },
    LONG,
  );
});
