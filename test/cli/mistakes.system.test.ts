import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { describeProblem } from '../../src/cli/config-file.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { cli, cliFile, runToEnd } from '../support/agent-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-mistakes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, 'site'));
writeFileSync(join(folder, 'one.yaml'), 'pins: { lamp: { virtual: bool, diraction: out } }\n');
writeFileSync(join(folder, 'right.yaml'), 'pins: { lamp: { virtual: bool } }\n');

/** A command line, its error message and the next step in it. */
const typed: [line: string, said: string, step: string][] = [
  ['stauts', "unknown command 'stauts'; did you mean status?", 'dcs-io --help lists the commands'],
  ['set pump', "missing required argument 'value'", 'for example: dcs-io set pump on'],
  ['get', "missing required argument 'pin'", 'usage: dcs-io get [options] <pin>'],
  ['set pump on --puls 1', "unknown option '--puls'; did you mean --pulse?", 'usage: dcs-io set'],
  ['boards shwo', 'boards has no command shwo', 'did you mean show?'],
  ['profiles eastron', 'profiles has no command eastron', 'there are list, show'],
  ['service frob', "unknown command 'frob'", 'dcs-io service --help lists its commands'],
  ['run', 'no configuration: neither ./dcs-io.yaml nor', 'dcs-io init writes a first one'],
  ['run -c nope.yaml', 'there is no file nope.yaml', 'dcs-io init -c nope.yaml writes a first one'],
  ['check -c site', 'site is a folder', 'perhaps -c site/dcs-io.yaml'],
  ['run -c one.yaml', '1 mistake: nothing was done', "did you mean 'direction'?"],
  ['simulate nope.yaml', 'there is no file nope.yaml', ''],
  [
    'modbus read holding 0',
    "required option '--port <target>' not specified",
    'for example: dcs-io modbus read --port tcp:',
  ],
  ['modbus read --port tcp:127.0.0.1:1 holdng 0', 'holdng', 'coil, discrete, holding, input'],
  ['modbus read --port tcp:127.0.0.1:1 --type flaot32 holding 0', '--type: one of bool, int8', 'float32'],
  ['modbus write --port tcp:127.0.0.1:1 coil 0 banana', 'banana is no value of this coil', 'it takes on or off'],
  ['serial monitor /dev/null --line 9600', '--line: line settings like 9600-8N1', ''],
];

describe('wrong use exits with 2, the mistake and the next step', () => {
  it.each(typed)(
    'dcs-io %s',
    async (line, said, step) => {
      const { code, stdout, stderr } = await cli(line.split(' '), { cwd: folder });
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^dcs-io: |mistake/);
      expect(stderr).toContain(said);
      expect(stderr).toContain(step);
      expect(stderr).not.toMatch(/^\s+at /m);
    },
    60_000,
  );

  it('writes singular and plural', async () => {
    expect((await cli(['check', '-c', 'right.yaml'], { cwd: folder })).stdout).toBe(
      'right.yaml: right: 1 pin on 1 port\n',
    );
  }, 60_000);
});

const drivers = await allDrivers();

function complaints(text: string): string {
  const loaded = loadConfigText(text, join(folder, 'c.yaml'), { drivers });
  return loaded.ok ? '' : loaded.problems.map(describeProblem).join('\n');
}

/** A configuration with a mistake, and the message for it. */
const written: [what: string, text: string, said: string][] = [
  ['a tab', 'pins:\n\tlamp: { virtual: bool }\n', 'tabs are not allowed as indentation (expected spaces)'],
  ['a colon without a space', 'board:mock\nnode: hall\n', 'a space after the colon of every key'],
  ['the same in braces', 'board: mock\npins: { a: {gpio:GPIO17} }\n', "did you mean 'gpio: GPIO17'?"],
  ['a bare number of a line', 'board: mock\npins: { a: { gpio: 17 } }\n', "did you mean 'GPIO17'?"],
  ['the place on the header', 'board: mock\npins: { a: { gpio: PIN11 } }\n', "did you mean 'J8-11'?"],
  ['a port number alone', 'web: { listen: 8080 }\n', 'an address with a port, like 127.0.0.1:8080 (found 8080)'],
  [
    'USB ids without quotes',
    'ports: { s: { driver: serial, usb: { vid: 0403, pid: "6001" } } }\n',
    'ports.s.usb.vid: four hexadecimal digits in quotes, like "0403" (found 403)',
  ],
  [
    'a chip without its address, at the device and once',
    'ports: { i: { driver: i2c, bus: 1 } }\ndevices: { air: { port: i, profile: bosch/bme280 } }\n',
    'c.yaml:2:12: error: devices.air: address is missing (expected a number)',
  ],
];

describe('a mistake in a configuration is reported with the correct form', () => {
  it.each(written)('%s', (_what, text, said) => {
    const found = complaints(text);
    expect(found).toContain(said);
    expect(found.split(said)).toHaveLength(2);
  });
});

describe('a closed pipe', () => {
  it('is no error: the command exits as usual and prints nothing', async () => {
    for (const line of ['--help', 'boards show raspberry-pi-5', 'profiles list --json', 'nonsense 2>&1']) {
      const command = `sleep 0.3; "$0" "$1" ${line}; echo "ended with $?" >&3`;
      const said = await runToEnd('/bin/bash', ['-c', `{ ${command}; } 3>&2 | true`, process.execPath, cliFile]);
      expect(said.stderr, line).toBe(`ended with ${line.startsWith('nonsense') ? 2 : 0}\n`);
    }
  });
});
