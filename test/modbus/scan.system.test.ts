import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import { rtu } from '../../drivers/modbus/protocol/framing.ts';
import { commonLineSettings, type FoundUnit, scanUnits } from '../../drivers/modbus/scan.ts';
import { RtuRequestReader } from '../../drivers/modbus/server/line-server.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { Pty } from '../../drivers/modbus/simulator/pty.ts';
import { LineSlave } from '../../drivers/modbus/simulator/slaves.ts';
import { lineTiming } from '../../drivers/modbus/transport/line-timing.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { lineSchema } from '../../src/driver/kit/schemas.ts';
import { cliFile, runToEnd } from '../support/agent-process.ts';
import { silentLog } from './owner.ts';

const RIGHT = '19200-8N2';
let folder: string;
let path: string;
let pty: Pty;
let heard = 0;

const TCGETS2 = 0x802c542a;
const CSTOPB = 0o100;
const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, void *argument)');

function settingsOf(line: string): { baud: number; stopBits: number } {
  const fd = openSync(line, constants.O_RDWR | constants.O_NOCTTY);
  const termios = Buffer.alloc(44);
  ioctl(fd, TCGETS2, termios);
  closeSync(fd);
  return { baud: termios.readUInt32LE(40), stopBits: termios.readUInt32LE(8) & CSTOPB ? 2 : 1 };
}

/** A bus of units 2 and 5 that keeps the time of its line. A master with other settings than its own gets noise. */
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-scan-'));
  path = join(folder, 'tty');
  const line = lineSchema.parse(RIGHT);
  const store = new SimulatedMemory(systemClock);
  heard = 0;
  pty = await Pty.open(path, (bytes) => {
    // What the master has set its end to. A pty keeps rate and stop bits, but no parity.
    const { baud, stopBits } = settingsOf(path);
    if (baud === 19_200 && stopBits === 2) slave.receive(bytes);
    else pty.send(Buffer.from([0xf8, 0x80, 0x1c]));
  });
  const slave = new LineSlave({
    clock: systemClock,
    framing: rtu,
    reader: new RtuRequestReader(),
    timing: lineTiming(line),
    responseMs: 2,
    store,
    units: new Set([2, 5]),
    echo: false,
    send: (bytes) => pty.send(Buffer.from(bytes)),
    unplug: () => undefined,
  });
  slave.script = () => {
    heard++;
    return undefined;
  };
});
afterEach(() => {
  pty.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('a scan of a line with unknown settings', () => {
  it('finds the settings and every unit, reports progress and time left, and then stops', async () => {
    const found: FoundUnit[] = [];
    const told: { done: number; total: number; leftMs: number }[] = [];
    const options = modbus.options.parse({ serial: path, timeout: '300ms' });
    const lines = commonLineSettings([9600, 19_200]);
    const plan = { options, units: [2, 3, 5], lines, all: false };
    const began = performance.now();
    await scanUnits(plan, systemClock, silentLog, {
      found: (unit) => found.push(unit),
      progress: (done, total, _unit, _line, leftMs) => told.push({ done, total, leftMs }),
      stopped: () => false,
    });
    const took = performance.now() - began;
    const sure = found.filter(({ doubt }) => doubt === undefined);
    expect(sure.map(({ unit, line }) => [unit, line?.baud, line?.stopBits])).toEqual([
      [2, 19_200, 2],
      [5, 19_200, 2],
    ]);
    expect(sure[0]?.identity).toEqual(['dcs-io', 'simulator', '1.0']);
    // All settings before the right ones, and those; what comes after is not asked any more.
    const right = lines.findIndex(({ baud, stopBits }) => baud === 19_200 && stopBits === 2);
    expect(told.map(({ done }) => done)).toEqual(Array.from({ length: 3 * (right + 1) }, (_, done) => done));
    expect(told[0]?.total).toBe(3 * lines.length);
    const left = told.map(({ leftMs }) => leftMs);
    expect(left).toEqual([...left].sort((a, b) => b - a));
    // The estimate is for nobody answering at all, all settings to be tried; what was asked took no longer.
    expect(took).toBeLessThan((left[0] ?? 0) + 2000);
  });

  it('draws a bar with the time left on a terminal, ends it cleanly, and leaves the settings for the next', async () => {
    const args = `scan modbus --port serial:${path} --baud 19200 --units 2-5 --timeout 300ms`;
    const done = await runToEnd('script', ['-qec', `${process.execPath} ${cliFile} ${args}`, '/dev/null']);
    expect(done.stdout).toMatch(/█+░+ \d+\/16 unit \d at 19200-8N2, \d+ s left/);
    expect(done.stdout).toMatch(/unit 2 +19200-8N2 +dcs-io simulator 1\.0/);
    expect(done.stdout).toMatch(/2 units found\s*$/);
    // The bar has been wiped off: after its last drawing comes the sequence that clears the line.
    expect(done.stdout.lastIndexOf('\u001b[K')).toBeGreaterThan(done.stdout.lastIndexOf('left'));
    const answered = heard;
    const next = await runToEnd(process.execPath, [
      cliFile,
      ...['modbus', 'read', '--port', `serial:${path}`, '--line', RIGHT, '--unit', '5', 'holding', '0'],
    ]);
    expect(next.stdout).toBe('holding 0      0\n');
    expect(heard).toBe(answered + 1);
  });
});
