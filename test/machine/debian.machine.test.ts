import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';
import { Machine, setUpMachines } from './support/machine.ts';

/** Node.js starts in seconds on a busy machine; the watchdog waits for 10 s. */
const LONG = 60_000;

const packages = mkdtempSync(join(tmpdir(), 'dcs-io-packages-'));
let machine: Machine;

beforeAll(async () => {
  setUpMachines();
  execFileSync(join(root, 'scripts/deb'), ['-o', packages, 'amd64'], { stdio: ['ignore', 'ignore', 'inherit'] });
  makeNext();
  machine = await Machine.start({ [packages]: '/packages' });
}, 600_000);

afterAll(async () => {
  await machine?.stop();
  rmSync(packages, { recursive: true, force: true });
});

/** The same with a newer version. */
function makeNext(): void {
  const lines = `cd "$1"
dpkg-deb -R *_amd64.deb next
sed -i 's/^Version: .*/Version: 999.0.0-1/' next/DEBIAN/control
sed -i 's/"version": "[^"]*"/"version": "999.0.0"/' next/usr/lib/dcs-io/package.json
dpkg-deb --root-owner-group -Znone -b next next.deb
rm -r next`;
  execFileSync('bash', ['-ec', lines, '-', packages], { stdio: ['ignore', 'ignore', 'inherit'] });
}

const configure = (yaml: string) =>
  machine.sh(`cat > /etc/dcs-io/dcs-io.yaml <<'END'\n${yaml}\nEND\nsystemctl restart dcs-io`);
const journal = () => machine.sh('journalctl -u dcs-io --no-pager -o cat');
/** Processes of the service's user, in a machine without ps. */
const processes = () =>
  machine.sh(
    'for each in /proc/[0-9]*; do [ "$(stat -c %U "$each" 2> /dev/null)" != dcs-io ] || tr "\\\\0" " " < "$each/cmdline"; done',
  );
/** A new life of the agent, which runs. */
const nextLife = (before: string) =>
  until(
    'the agent to be started again',
    async () => (await machine.service('MainPID')) !== before && (await machine.service('ActiveState')) === 'active',
    LONG,
  );

describe('the Debian package, on a machine with systemd', () => {
  it(
    'makes a service that runs at once as its own user and starts at boot',
    async () => {
      const { code, stdout, stderr } = await machine.run('sh', '-c', 'dpkg -i /packages/*_amd64.deb');
      expect(code, stdout + stderr).toBe(0);
      expect(await machine.service('ActiveState')).toBe('active');
      expect(await machine.service('Type')).toBe('notify');
      expect(await machine.service('StatusText')).toBe('1 pins, 1 ports');
      expect(await machine.service('UnitFileState')).toBe('enabled');
      const pid = await machine.service('MainPID');
      expect(await machine.sh(`stat -c %U /proc/${pid}`)).toBe('dcs-io');
      expect((await machine.sh('id -nG dcs-io')).split(' ')).toEqual(['dcs-io', 'dialout']);
      expect(await machine.sh('stat -c "%a %U %G" /etc/dcs-io /etc/dcs-io/dcs-io.yaml /etc/dcs-io/keys')).toBe(
        '750 root dcs-io\n640 root dcs-io\n700 dcs-io dcs-io',
      );
    },
    LONG,
  );

  it(
    'confines it: no capabilities, no new privileges, filtered system calls, no writes to the system',
    async () => {
      const pid = await machine.service('MainPID');
      const status = await machine.sh(`cat /proc/${pid}/status`);
      expect(status).toMatch(/^CapBnd:\s+0+$/m);
      expect(status).toMatch(/^CapEff:\s+0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      expect(status).toMatch(/^Seccomp:\s+2$/m);
      const options = await machine.sh(`awk '$5 == "/" || $5 == "/home" { print $5, $6 }' /proc/${pid}/mountinfo`);
      expect(options).toMatch(/^\/ ro\b/m);
      const { stdout } = await machine.run('systemd-analyze', 'security', '--no-pager', 'dcs-io.service');
      expect(Number(/exposure level for dcs-io.service: ([\d.]+)/.exec(stdout)?.[1])).toBeLessThanOrEqual(2.5);
    },
    LONG,
  );

  it(
    'answers on the command line, logs to the journal, and installs manual page and completion',
    async () => {
      expect(await machine.sh('dcs-io set ready off && dcs-io get ready')).toContain('off');
      expect(await machine.sh('dcs-io service status')).toContain('active (running)');
      expect(await journal()).toContain('is running with 1 pin');
      expect(await machine.sh('dcs-io tail')).toContain('ready');
      await machine.sh('zcat /usr/share/man/man1/dcs-io.1.gz | grep -q "service install"');
      await machine.sh(
        'cd /usr/share && ls bash-completion/completions/dcs-io zsh/vendor-completions/_dcs-io fish/vendor_completions.d/dcs-io.fish',
      );
    },
    LONG,
  );

  it(
    'dcs-io service install refuses beside it',
    async () => {
      const { code, stderr } = await machine.run('dcs-io', 'service', 'install');
      expect(code).toBe(1);
      expect(stderr).toContain('the Debian package');
    },
    LONG,
  );

  it(
    'systemd restarts a hanging agent, because it does not feed the watchdog',
    async () => {
      const pid = await machine.service('MainPID');
      await machine.sh(`kill -STOP ${pid}`);
      await nextLife(pid);
      expect(await journal()).toContain('Watchdog timeout');
      expect(await machine.sh('dcs-io get ready')).toContain('on');
    },
    LONG,
  );

  it(
    'after a crash the guardian makes outputs safe and the next agent takes over; a stop leaves no process',
    async () => {
      await machine.sh("printf 'tcp: 127.0.0.1:15020\\nunits: { 1: [{ coil: 1, value: 0 }] }\\n' > /root/plc.yaml");
      await machine.sh('systemd-run --unit=plc /usr/bin/dcs-io simulate /root/plc.yaml');
      const coil = async () =>
        (await machine.run('dcs-io', ...'modbus read --port tcp:127.0.0.1:15020 --unit 1 coil 1'.split(' '))).stdout;
      await until('the PLC', async () => (await coil()) !== '', LONG);
      await configure(`node: hall
bus: { listen: 127.0.0.1 }
ports: { plc: { driver: modbus, tcp: '127.0.0.1:15020', poll: 100ms } }
pins: { pump: { port: plc, coil: 1, direction: out, initial: false, safe: false } }`);
      await until('the pump', async () => (await machine.run('dcs-io', 'set', 'pump', 'on')).code === 0, LONG);
      const pid = await machine.service('MainPID');
      // The next life would make it safe itself: systemd is kept from starting one.
      await machine.sh(
        'mkdir -p /run/systemd/system/dcs-io.service.d && printf "[Service]\\nRestartSec=1000\\n" > /run/systemd/system/dcs-io.service.d/slow.conf && systemctl daemon-reload',
      );
      await machine.sh(`kill -KILL ${pid}`);
      await until(
        'the guardian',
        async () => (await journal()).includes('outputs of port plc are in their safe state'),
        LONG,
      );
      expect(await machine.service('ActiveState')).toBe('activating');
      const warnings = await machine.sh('journalctl -u dcs-io --no-pager -o cat -p warning');
      expect(warnings).toContain('outputs of port plc are in their safe state');
      expect(warnings).not.toContain('is running with');
      expect(await coil()).toContain('off');
      await machine.sh(
        'rm -r /run/systemd/system/dcs-io.service.d && systemctl daemon-reload && systemctl start dcs-io',
      );
      await nextLife(pid);
      await until('the pump again', async () => (await machine.run('dcs-io', 'set', 'pump', 'on')).code === 0, LONG);
      expect((await processes()).match(/guardian/g)).toHaveLength(1);
      await machine.sh('systemctl stop dcs-io plc');
      expect(await processes()).toBe('');
    },
    2 * LONG,
  );

  it(
    'systemd restarts it after every crash, but not with a wrong configuration',
    async () => {
      await configure('node: hall\npins: { ready: { virtual: bool } }');
      for (let crash = 1; crash <= 7; crash++) {
        const pid = await machine.service('MainPID');
        await machine.sh(`kill -KILL ${pid}`);
        await nextLife(pid);
      }
      await expect(configure('node: hall\npins: { ready: { vritual: bool } }')).rejects.toThrow(
        /control process exited/,
      );
      expect(await machine.service('ActiveState')).toBe('failed');
      expect(await machine.service('ExecMainStatus')).toBe('2');
      expect(await machine.sh('journalctl -u dcs-io --no-pager -o cat -n 20')).toContain("did you mean 'virtual'?");
    },
    LONG,
  );

  it(
    'keys that root makes belong to the service',
    async () => {
      await machine.sh('dcs-io keys new --keys /etc/dcs-io/keys');
      expect(await machine.sh('stat -c "%a %U" /etc/dcs-io/keys/node.key')).toBe('600 dcs-io');
      await configure(`node: hall
bus: { listen: 0.0.0.0, security: { keys: ./keys } }
pins: { level: { virtual: number, direction: out, initial: last } }`);
      expect(await machine.service('ActiveState')).toBe('active');
    },
    LONG,
  );

  it(
    'an upgrade keeps configuration, keys and state',
    async () => {
      await machine.sh('dcs-io set level 5');
      const kept = 'sha256sum /etc/dcs-io/dcs-io.yaml /etc/dcs-io/keys/node.key';
      const before = { pid: await machine.service('MainPID'), files: await machine.sh(kept) };
      await machine.sh('dpkg -i /packages/next.deb');
      expect(await machine.sh('dcs-io --version')).toContain('999.0.0');
      expect(await machine.service('ActiveState')).toBe('active');
      expect(await machine.service('MainPID')).not.toBe(before.pid);
      expect(await machine.sh(kept)).toBe(before.files);
      expect(await machine.sh('dcs-io get level')).toContain('5');
    },
    LONG,
  );

  it(
    'removal leaves configuration and state but no process; purge leaves nothing',
    async () => {
      // A process that an actor started outlives the agent.
      await machine.sh(`cat > /etc/dcs-io/child.js <<'END'
import { spawn } from 'node:child_process';
import { Actor } from 'dcs-io';
export default class Child extends Actor {
  constructor() {
    super('child');
    spawn('sleep', ['1000'], { stdio: 'ignore', detached: true }).unref();
  }
}
END
echo 'actors: [./child.js]' >> /etc/dcs-io/dcs-io.yaml
systemctl restart dcs-io`);
      expect(await processes()).toContain('sleep 1000');
      await machine.sh('dpkg --remove dcs-io');
      expect(await processes()).toBe('');
      expect(await machine.service('LoadState')).toBe('not-found');
      await machine.sh('ls /etc/dcs-io/dcs-io.yaml /etc/dcs-io/keys/node.key /var/lib/dcs-io/hall.*');
      await machine.sh('dpkg --purge dcs-io');
      const left =
        "find / -xdev -name '*dcs-io*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/packages*' ! -path '/var/log/*'";
      expect(await machine.sh(left)).toBe('');
      expect(await machine.sh('grep dcs-io /etc/passwd /etc/group /etc/shadow /etc/gshadow || true')).toBe('');
    },
    LONG,
  );
});
