import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Board } from '../../src/board/board.ts';
import { boardSchema, headerSchema } from '../../src/board/board-schema.ts';
import { detectBoard, readDeviceTree } from '../../src/board/detect.ts';
import { layOutHeaders } from '../../src/board/header-layout.ts';
import { dataFolder, listBoards, loadBoard, readData } from '../../src/board/load-board.ts';

function board(name: string): Board {
  const found = loadBoard(name);
  if (!found) throw new Error(`no board ${name}`);
  return found;
}

const pis = listBoards().filter((name) => board(name).headers.some((header) => header.connectors.includes('J8')));

describe('every board file', () => {
  test.each(listBoards())('%s follows the schema, names nothing twice and has the lines its buses use', (name) => {
    expect(board(name).name).toBe(name);
  });

  test.each(listBoards())('%s cites its source in a comment', (name) => {
    expect(readFileSync(join(dataFolder(), `${name}.yaml`), 'utf8')).toMatch(/^# .+/);
  });

  test.each(readdirSync(join(dataFolder(), 'headers')))('header %s cites its source in a comment', (file) => {
    expect(readFileSync(join(dataFolder(), 'headers', file), 'utf8')).toMatch(/^# .+/);
  });

  test('no model and no compatible string belongs to two boards', () => {
    const all = listBoards().flatMap((name) => [...board(name).models, ...board(name).compatible]);
    expect(all.filter((text, index) => all.indexOf(text) !== index)).toEqual([]);
  });

  test.each(pis)('%s has the 40 positions of its header, 28 of them lines', (name) => {
    const header = board(name).headers[0];
    const lines = Object.values(header?.positions ?? {}).filter((position) => 'line' in position);
    expect([Object.keys(header?.positions ?? {}).length, lines.length]).toEqual([40, 28]);
  });

  test.each(readdirSync(join(dataFolder(), 'headers')))('%s: positions run from 1 without a gap', (file) => {
    const { positions } = readData(join(dataFolder(), 'headers', file), headerSchema);
    const numbers = Object.keys(positions).map(Number);
    expect(numbers.sort((x, y) => x - y)).toEqual(numbers.map((_, at) => at + 1));
  });

  test.each(readdirSync(join(dataFolder(), 'headers')))('%s: no line is on two positions', (file) => {
    const { positions, chip } = readData(join(dataFolder(), 'headers', file), headerSchema);
    const lines = Object.values(positions).flatMap((at) => ('line' in at ? `${at.chip ?? chip}:${at.line}` : []));
    expect(lines.filter((line, at) => lines.indexOf(line) !== at)).toEqual([]);
  });
});

describe('names of lines', () => {
  test('positions differ between boards: the first Model B has its own wiring', () => {
    for (const [name, line] of [
      ['raspberry-pi-b-rev1', 21],
      ['raspberry-pi-b', 27],
      ['raspberry-pi-4b', 27],
    ] as const) {
      expect(board(name).resolve('P1-13')).toEqual({ chip: board(name).chips['gpio']?.label, line, mock: false });
    }
    expect(board('raspberry-pi-b').resolve('P5-3')).toMatchObject({ line: 28 });
    expect(board('raspberry-pi-b-rev1').resolve('P5-3')).toBeUndefined();
  });

  test('all names of a line name one line, in upper and lower case', () => {
    for (const name of ['GPIO17', 'gpio17', 'BCM17', 'J8-11', 'P1-11', 'gpio:17', 'pinctrl-bcm2711:17']) {
      expect(board('raspberry-pi-4b').resolve(name)).toEqual({ chip: 'pinctrl-bcm2711', line: 17, mock: false });
    }
    expect(board('raspberry-pi-5').resolve('SDA1')).toEqual({ chip: 'pinctrl-rp1', line: 2, mock: false });
    expect(board('raspberry-pi-zero').resolve('TXD0')).toEqual({ chip: 'pinctrl-bcm2835', line: 14, mock: false });
  });

  test('power and ground positions, offsets beyond the chip and unknown words are no lines', () => {
    for (const name of ['J8-1', 'J8-6', 'J8-41', 'gpio:58', 'GPIO28', 'banana', ':3', 'gpio:', '']) {
      expect(board('raspberry-pi-4b').resolve(name), name).toBeUndefined();
    }
  });

  test('a chip that the board does not know is used as written, by offset or line name', () => {
    expect(board('linux').resolve('gpiochip2:5')).toEqual({ chip: 'gpiochip2', line: 5, mock: false });
    expect(board('linux').resolve('/dev/gpiochip2:5')).toEqual({ chip: 'gpiochip2', line: 5, mock: false });
    expect(board('linux').resolve('gpio-sim.0-node0:door')).toEqual({
      chip: 'gpio-sim.0-node0',
      line: 'door',
      mock: false,
    });
    expect(board('linux').resolve('GPIO17')).toBeUndefined();
  });

  test('every position of the BeagleBone is the line that the kernel names after it', () => {
    const bone = board('beaglebone-black');
    for (const header of bone.headers) {
      for (const [number, position] of Object.entries(header.positions)) {
        // The kernel's table leaves P8_24 without its position.
        if (!('line' in position) || (header.connectors[0] === 'P8' && number === '24')) continue;
        const name = `${header.connectors[0]}_${number}`;
        expect(String(bone.resolve(name)?.line), name).toMatch(new RegExp(`^${name}(?!\\d)`));
      }
    }
    expect(bone.resolve('P9-12')).toEqual({ chip: 'gpio-32-63', line: 'P9_12', mock: false });
    expect(bone.resolve('GPIO1_28')).toEqual(bone.resolve('P9_12'));
    expect(bone.resolve('gpio-32-63:28')).toEqual(bone.resolve('P9_12'));
    expect(bone.resolve('gpio-32-63:P9_12')).toEqual(bone.resolve('P9_12'));
  });

  test('banks of an Orange Pi are named as in its manual', () => {
    expect(board('orange-pi-zero-3').resolve('PC6')).toEqual({ chip: '300b000.pinctrl', line: 70, mock: false });
    expect(board('orange-pi-zero-2').resolve('TWI3_SDA')).toEqual(board('orange-pi-zero-2').resolve('PH5'));
    expect(board('orange-pi-zero-2').resolve('PC17')).toBeUndefined();
  });

  test('the mock board has the same names and marks its lines as simulated', () => {
    expect(board('mock').resolve('J8-11')).toEqual({ chip: 'mock', line: 17, mock: true });
  });
});

describe('buses', () => {
  test('an enabled bus reserves its lines, a disabled one does not', () => {
    const pi = board('raspberry-pi-4b');
    expect(pi.reservedBy('pinctrl-bcm2711', 2, ['i2c1'])).toBe('i2c1');
    expect(pi.reservedBy('pinctrl-bcm2711', 2, ['spi0'])).toBeUndefined();
    expect(pi.reservedBy('other', 2, ['i2c1'])).toBeUndefined();
  });

  test('a bus is enabled when its device exists', () => {
    expect(board('raspberry-pi-4b').enabledBuses((path) => path === '/dev/i2c-1')).toEqual(['i2c1']);
    expect(board('raspberry-pi-5').enabledBuses((path) => path === '/dev/ttyAMA0')).toEqual(['uart0']);
    expect(board('raspberry-pi-5').enabledBuses((path) => path === '/dev/serial0')).toEqual([]);
  });
});

describe('board detection', () => {
  test.each([
    ['Raspberry Pi 4 Model B Rev 1.4', 'raspberry-pi-4b'],
    ['Raspberry Pi 5 Model B Rev 1.0', 'raspberry-pi-5'],
    ['Raspberry Pi 3 Model B Plus Rev 1.3', 'raspberry-pi-3b-plus'],
    ['Raspberry Pi 3 Model B Rev 1.2', 'raspberry-pi-3b'],
    ['Raspberry Pi Zero W Rev 1.1', 'raspberry-pi-zero-w'],
    ['Raspberry Pi Zero Rev 1.3', 'raspberry-pi-zero'],
    ['Raspberry Pi Zero 2 W Rev 1.0', 'raspberry-pi-zero-2-w'],
    ['Raspberry Pi 2 Model B Rev 1.1', 'raspberry-pi-2b'],
    ['Raspberry Pi Model B Plus Rev 1.2', 'raspberry-pi-b-plus'],
    ['Raspberry Pi 3 Model A Plus Rev 1.0', 'raspberry-pi-3a-plus'],
    ['Raspberry Pi Model B Rev 2', 'raspberry-pi-b'],
    ['Raspberry Pi Model B Rev 1', 'raspberry-pi-b-rev1'],
    ['Raspberry Pi Model A Rev 2', 'raspberry-pi-a'],
    ['Raspberry Pi 400 Rev 1.0', 'raspberry-pi-400'],
    ['Raspberry Pi 500 Rev 1.0', 'raspberry-pi-500'],
    ['Raspberry Pi Compute Module Rev 1.0', 'raspberry-pi-cm1'],
    ['Raspberry Pi Compute Module 3 Plus Rev 1.0', 'raspberry-pi-cm3'],
    ['Raspberry Pi Compute Module 4 Rev 1.0', 'raspberry-pi-cm4'],
    ['Raspberry Pi Compute Module 4S Rev 1.0', 'raspberry-pi-cm4s'],
    ['Raspberry Pi Compute Module 5 Lite Rev 1.0', 'raspberry-pi-cm5'],
    ['TI AM335x BeagleBone Black', 'beaglebone-black'],
    ['OrangePi Zero2', 'orange-pi-zero-2'],
    ['OrangePi Zero3', 'orange-pi-zero-3'],
  ])('%s', (model, name) => {
    expect(detectBoard({ model, compatible: [] })?.name).toBe(name);
  });

  test('an unlisted model is detected by its compatible string; an unknown computer is no board', () => {
    const compatible = ['raspberrypi,4-model-b', 'brcm,bcm2711'];
    expect(detectBoard({ model: 'Raspberry Pi 4 Model B, painted', compatible })?.name).toBe('raspberry-pi-4b');
    expect(detectBoard({ model: 'Acme Toaster', compatible: ['acme,toaster'] })).toBeUndefined();
  });

  test('a carrier is detected by its compatible string, whatever its module', () => {
    const compatible = ['kunbus,revpi-connect', 'brcm,bcm2837', 'brcm,bcm2836'];
    const model = 'Raspberry Pi Compute Module 3 Plus Rev 1.0';
    expect(detectBoard({ model, compatible })?.name).toBe('revolution-pi-connect');
    for (const [name, ...strings] of [
      ['revolution-pi-connect-s', 'kunbus,revpi-connect-s', 'kunbus,revpi-connect', 'brcm,bcm2711'],
      ['revolution-pi-connect-s', 'kunbus,revpi-connect-se', 'brcm,bcm2711'],
      ['revolution-pi-connect-4', 'kunbus,revpi-connect4', 'brcm,bcm2711'],
      ['revolution-pi-connect-5', 'kunbus,revpi-connect5', 'brcm,bcm2712'],
    ]) {
      const found = detectBoard({ model: 'Raspberry Pi Compute Module 4S Rev 1.0', compatible: strings });
      expect(found?.name).toBe(name);
      // The label is that of the processor the overlay is for.
      const label = strings.includes('brcm,bcm2711') ? 'pinctrl-bcm2711' : 'pinctrl-rp1';
      expect(Object.values(found?.chips ?? {}).map((chip) => chip.label)).toEqual([label]);
    }
    expect(detectBoard({ model, compatible: ['raspberrypi,3-compute-module'] })?.name).toBe('raspberry-pi-cm3');
  });

  test('the device tree is read from its files; a machine without one is no board', () => {
    const folder = mkdtempSync(join(tmpdir(), 'device-tree-'));
    expect(readDeviceTree(folder)).toEqual({ model: undefined, compatible: [] });
    expect(detectBoard(readDeviceTree(folder))).toBeUndefined();
    writeFileSync(join(folder, 'model'), 'Raspberry Pi 4 Model B Rev 1.4\0');
    writeFileSync(join(folder, 'compatible'), 'raspberrypi,4-model-b\0brcm,bcm2711\0');
    expect(readDeviceTree(folder).compatible).toEqual(['raspberrypi,4-model-b', 'brcm,bcm2711']);
    expect(detectBoard(readDeviceTree(folder))?.name).toBe('raspberry-pi-4b');
  });
});

describe('wrong board data is refused', () => {
  const chips = { gpio: { label: 'chip', lines: 4 } };
  test.each([
    ['a name given twice', { chips, aliases: { A: { chip: 'gpio', line: 0 }, a: { chip: 'gpio', line: 1 } } }, 'twice'],
    ['a line its chip does not have', { chips, aliases: { A: { chip: 'gpio', line: 4 } } }, 'which has 4'],
    ['a chip it does not have', { chips, aliases: { A: { chip: 'other', line: 0 } } }, 'does not have'],
    ['a bus on an unknown line', { chips, buses: { i2c1: { device: '/dev/i2c-1', lines: ['SDA1'] } } }, 'SDA1'],
  ])('%s', (_what, data, message) => {
    const checked = boardSchema.parse({ title: 'test', ...data });
    expect(() => new Board('test', checked, [])).toThrow(message);
  });
});

describe('the header as rows', () => {
  test('odd positions are left and even ones right, with names, aliases, buses and pins', () => {
    const lines = new Map([['pinctrl-bcm2711:17', 'green-led']]);
    const [header] = layOutHeaders(board('raspberry-pi-4b'), { lines, buses: ['i2c1'] });
    expect(header?.connector).toBe('J8');
    expect(header?.rows).toHaveLength(20);
    expect(header?.rows[0]?.map((cell) => cell.name)).toEqual(['3V3', '5V']);
    expect(header?.rows[1]?.[0]).toEqual({ position: 3, kind: 'line', name: 'GPIO2', aliases: ['SDA1'], bus: 'i2c1' });
    expect(header?.rows[5]?.[0]).toMatchObject({ position: 11, name: 'GPIO17', use: 'green-led' });
    expect(header?.rows[19]?.map((cell) => cell.position)).toEqual([39, 40]);
  });
});
