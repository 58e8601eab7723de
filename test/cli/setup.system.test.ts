import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { configTemplate, type Detection } from '../../src/cli/config-template.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { machine } from '../config/fakes.ts';
import { cli, cliFile, LineReader } from '../support/agent-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-setup-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function serialPort(path: string, about: string): Detection['ports'][number] {
  const uses = [
    { driver: 'modbus', options: { serial: path, line: '9600-8N1' } },
    { driver: 'serial', options: { path, line: '9600-8N1', framing: { delimiter: '\r\n' } } },
  ];
  return { path, about, uses, devices: [] };
}

describe('configTemplate', () => {
  const pi: Detection = {
    bus: true,
    node: 'hall 1: "north"',
    board: { name: 'raspberry-pi-4b', title: 'Raspberry Pi 4 Model B', lines: ['GPIO4', 'GPIO5'] },
    ports: [
      serialPort('/dev/serial/by-id/usb-FTDI_x', 'FTDI adapter'),
      serialPort('/dev/ttyAMA0', ''),
      {
        path: '/dev/i2c-1',
        name: 'i2c-1',
        about: '',
        uses: [{ driver: 'i2c', options: { bus: '/dev/i2c-1' } }],
        devices: [
          { address: '0x20', guesses: ['MCP23017'], profiles: ['microchip/mcp23017', 'nxp/pcf8574'] },
          { address: '0x33', guesses: [], profiles: [] },
        ],
      },
    ],
  };
  const nothing: Detection = { node: 'pc', bus: false, ports: [] };
  const usual = { node: 'pc', web: true, drivers: new Map() };
  const check = async (text: string) => {
    const context = { drivers: await allDrivers(), machine: machine({ model: 'Raspberry Pi 4 Model B Rev 1.4' }) };
    const loaded = loadConfigText(text, '/x/dcs-io.yaml', context);
    expect(loaded.ok ? [] : loaded.problems).toEqual([]);
    return loaded.ok ? loaded.config : undefined;
  };

  it('is correct for a board with all hardware, and for a machine without any', async () => {
    expect(await check(configTemplate(pi, { ...usual, node: pi.node }))).toMatchObject({ node: pi.node });
    expect(await check(configTemplate(nothing, { ...usual, web: false }))).toMatchObject({
      node: 'pc',
      board: undefined,
      bus: { enabled: false },
    });
  });

  it('is correct with every suggestion uncommented, and with the answers of the user', async () => {
    const text = configTemplate(pi, { ...usual, drivers: new Map([['/dev/ttyAMA0', 'serial']]) });
    const taken = text.replaceAll(/^( *)#(?=\S)/gm, '$1');
    expect(taken).not.toBe(text);
    const config = await check(taken);
    expect(config?.ports.map(({ name }) => name)).toEqual(expect.arrayContaining(['line-1', 'line-2', 'i2c-1']));
    const pins = config?.pins.map(({ spec }) => spec.name);
    expect(pins).toEqual(expect.arrayContaining(['ready', 'lamp', 'door']));
    expect(pins?.some((name) => name.startsWith('chip-i2c-1-20.'))).toBe(true);
  });
});

describe('dcs-io init', () => {
  it('writes a configuration that passes check, and replaces a file only with --force', async () => {
    const file = join(folder, 'new/dcs-io.yaml');
    expect(await cli(['init', '--yes', '-c', file])).toMatchObject({ code: 0 });
    expect(await cli(['check', '-c', file])).toMatchObject({ code: 0 });
    writeFileSync(file, 'mine: true\n');
    const refused = await cli(['init', '--yes', '-c', file]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('--force');
    expect(readFileSync(file, 'utf8')).toBe('mine: true\n');
    expect(await cli(['init', '--yes', '--force', '-c', file])).toMatchObject({ code: 0 });
    expect(readFileSync(file, 'utf8')).toContain('pins:');
  }, 60_000);

  it('asks questions and uses the answers', async () => {
    const file = join(folder, 'asked.yaml');
    const child = spawn(process.execPath, [cliFile, 'init', '-c', file], { stdio: ['pipe', 'ignore', 'ignore'] });
    // The name first; everything else as it stands in brackets, however many ports this machine has.
    child.stdin.end('pump-house\n');
    const code = await new Promise((done) => child.once('exit', done));
    expect(code).toBe(0);
    expect(readFileSync(file, 'utf8')).toContain('node: "pump-house"');
  }, 60_000);
});

describe('dcs-io tail', () => {
  const log = join(folder, 'hall.audit.jsonl');
  const file = join(folder, 'tail.yaml');
  const entry = (at: number, kind: string, detail: object) => `${JSON.stringify({ at, kind, ...detail })}\n`;

  it('prints the end of the log for the given pins, damaged lines too, and follows it across a rotation', async () => {
    writeFileSync(file, `node: hall\nstate: ${folder}\n`);
    const old = await cli(['tail', '-c', file]);
    expect(old.code).toBe(1);
    expect(old.stderr).toContain(log);
    writeFileSync(`${log}.1`, entry(1, 'command', { pin: 'pump', val: true, sender: ['a', 'b'] }));
    writeFileSync(log, `${entry(2, 'refused', { pin: 'lamp', code: 'BAD_VALUE' })}{"at":3\n${entry(4, 'start', {})}`);
    const shown = await cli(['tail', '-c', file, 'pump']);
    expect(shown.stdout).toMatch(/command +pump +on/);
    expect(shown.stdout).toContain('damaged');
    expect(shown.stdout).toContain('start');
    expect(shown.stdout).not.toContain('lamp');
    expect((await cli(['tail', '-c', file, '-n', '1'])).stdout.trim().split('\n')).toHaveLength(1);
    const reader = new LineReader(process.execPath, [cliFile, 'tail', '-c', file, '-f', '--json', '-n', '1']);
    await reader.line('"start"', 20_000);
    writeFileSync(log, entry(5, 'safe', { pin: 'pump', val: false }), { flag: 'a' });
    await reader.line('"safe"', 20_000);
    rmSync(`${log}.1`);
    renameSync(log, `${log}.1`);
    writeFileSync(log, entry(6, 'override', { pin: 'pump' }));
    await reader.line('"override"', 20_000);
    await reader.stop('SIGTERM');
    expect(reader.child.exitCode).toBe(0);
  }, 60_000);
});
