import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import { virtual } from '../../drivers/virtual/driver.ts';
import { serviceNeeds, unitText } from '../../src/cli/commands/service.ts';
import { cli, runToEnd } from '../support/agent-process.ts';

const root = mkdtempSync(join(tmpdir(), 'dcs-io-service-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const unit = join(root, 'etc/systemd/system/dcs-io.service');
const wanted = join(root, 'etc/systemd/system/multi-user.target.wants/dcs-io.service');
const config = join(root, 'etc/dcs-io/dcs-io.yaml');

describe('dcs-io service', () => {
  it('install makes a user, a unit that starts at boot, and a correct configuration', async () => {
    mkdirSync(join(root, 'etc'), { recursive: true });
    writeFileSync(join(root, 'etc/group'), 'root:x:0:\ndialout:x:20:\ni2c:x:998:\n');
    const done = await cli(['service', 'install', '--root', root]);
    expect(done.code, done.stderr).toBe(0);
    expect(readFileSync(join(root, 'etc/passwd'), 'utf8')).toMatch(/^dcs-io:.*\/nologin$/m);
    const text = readFileSync(unit, 'utf8');
    const members = readFileSync(join(root, 'etc/group'), 'utf8').match(/^\w+(?=:.*:dcs-io$)/gm);
    expect(members).toEqual(['dialout', 'i2c']);
    expect(text).toMatch(/^Type=notify$/m);
    // The link points into the root, so it may lead nowhere from here.
    expect(lstatSync(wanted).isSymbolicLink()).toBe(true);
    expect(await cli(['check', '-c', config])).toMatchObject({ code: 0 });
    expect(statSync(config).mode & 0o777).toBe(0o640);
    expect(statSync(join(root, 'etc/dcs-io/keys')).mode & 0o777).toBe(0o700);
  }, 60_000);

  it('systemd-analyze finds no mistake in the unit and an exposure below 3.5', async () => {
    const verified = await runToEnd('systemd-analyze', ['verify', '--man=no', unit]);
    expect(verified.stderr).not.toContain('dcs-io.service');
    expect(verified.code, verified.stderr).toBe(0);
    const args = ['security', '--no-pager', '--offline=yes', '--threshold=35', unit];
    const judged = await runToEnd('systemd-analyze', args);
    expect(judged.code, judged.stdout + judged.stderr).toBe(0);
  }, 60_000);

  it('a second install and uninstall keep the configuration', async () => {
    writeFileSync(config, 'node: mine\n');
    expect(await cli(['service', 'install', '--root', root])).toMatchObject({ code: 0 });
    expect(readFileSync(config, 'utf8')).toBe('node: mine\n');
    expect(await cli(['service', 'uninstall', '--root', root])).toMatchObject({ code: 0 });
    expect(existsSync(unit)).toBe(false);
    expect(lstatSync(wanted, { throwIfNoEntry: false })).toBeUndefined();
    expect(readFileSync(config, 'utf8')).toBe('node: mine\n');
    const again = await cli(['service', 'uninstall', '--root', root]);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('service install');
  }, 60_000);

  it('quotes a path with spaces and special characters for systemd', () => {
    const program = ['/opt/my node/bin/node', '/opt/50%/$x/main.js'];
    const text = unitText({ program, origin: 'A test', notifies: true, addressFamilies: [] });
    expect(text).toContain('ExecStart="/opt/my node/bin/node" ');
    expect(text).toContain('50%%');
    expect(text).toContain('$$x');
  });

  it('grants the groups and the address families that the drivers need', () => {
    const can = { ...virtual, access: { groups: ['can', 'dialout'], addressFamilies: ['AF_CAN'] as const } };
    const { groups, addressFamilies } = serviceNeeds([serial, can, virtual]);
    expect(groups).toEqual(['dialout', 'can']);
    const text = unitText({ program: ['/bin/true'], origin: 'A test', notifies: true, addressFamilies });
    expect(text).toMatch(/^RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_CAN$/m);
  });

  it('is Type=exec without a watchdog when the agent cannot notify systemd', () => {
    const text = unitText({ program: ['/bin/true'], origin: 'A test', notifies: false, addressFamilies: [] });
    expect(text).toMatch(/^Type=exec$/m);
    expect(text).not.toContain('Watchdog');
  });

  it('install gives existing keys to the service', async () => {
    const key = join(root, 'etc/dcs-io/keys/node.key');
    writeFileSync(key, 'public: x\n', { mode: 0o600 });
    expect(await cli(['service', 'install', '--root', root])).toMatchObject({ code: 0 });
    const user = Number(/^dcs-io:[^:]*:(\d+)/m.exec(readFileSync(join(root, 'etc/passwd'), 'utf8'))?.[1]);
    expect(statSync(key)).toMatchObject({ uid: user });
    expect(statSync(key).mode & 0o777).toBe(0o600);
  }, 60_000);

  it('install refuses beside the Debian package', async () => {
    const packaged = join(root, 'usr/lib/systemd/system/dcs-io.service');
    mkdirSync(join(packaged, '..'), { recursive: true });
    writeFileSync(packaged, '');
    const refused = await cli(['service', 'install', '--root', root]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('Debian package');
  }, 60_000);
});
