import { describe, expect, test } from 'vitest';
import { listBoards, loadBoard } from '../../src/board/load-board.ts';
import type { ConfigContext } from '../../src/config/context.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { linesInUse } from '../../src/config/resolved.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { machine } from './fakes.ts';

const drivers = await allDrivers();
const DEVICE_TREE = '/proc/device-tree';

const cells = (...numbers: number[]) => {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [at, number] of numbers.entries()) bytes.writeUInt32BE(number, at * 4);
  return bytes;
};
const text = (word: string) => Buffer.from(`${word}\0`);

interface Overlay {
  readonly pins?: readonly number[];
  readonly functions?: readonly number[];
  readonly status?: string;
  readonly phandle?: number;
}

/** A Raspberry Pi with the device tree as the firmware leaves it, with an overlay or without. */
function pi(model: string, overlay?: Overlay) {
  const { pins = [18], functions = [2], status = 'okay', phandle = 77 } = overlay ?? {};
  const contents = new Map([
    [`${DEVICE_TREE}/__symbols__/pwm`, text('/soc/pwm@7e20c000')],
    [`${DEVICE_TREE}/__symbols__/gpio`, text('/soc/gpio@7e200000')],
    [`${DEVICE_TREE}/soc/pwm@7e20c000/status`, text(overlay ? status : 'disabled')],
    [`${DEVICE_TREE}/soc/gpio@7e200000/gpio-line-names`, text('ID_SDA')],
    [`${DEVICE_TREE}/soc/gpio@7e200000/spi0_pins/phandle`, cells(12)],
    [`${DEVICE_TREE}/soc/gpio@7e200000/spi0_pins/brcm,pins`, cells(9, 10, 11)],
    [`${DEVICE_TREE}/soc/gpio@7e200000/spi0_pins/brcm,function`, cells(4)],
  ]);
  if (overlay) {
    contents.set(`${DEVICE_TREE}/soc/pwm@7e20c000/pinctrl-0`, cells(phandle));
    contents.set(`${DEVICE_TREE}/soc/gpio@7e200000/pwm_pins/phandle`, cells(77));
    contents.set(`${DEVICE_TREE}/soc/gpio@7e200000/pwm_pins/brcm,pins`, cells(...pins));
    contents.set(`${DEVICE_TREE}/soc/gpio@7e200000/pwm_pins/brcm,function`, cells(...functions));
  }
  return machine({ model, contents });
}
const four = (overlay?: Overlay) => pi('Raspberry Pi 4 Model B Rev 1.4', overlay);

function load(pins: string, context: Partial<ConfigContext>, head = '') {
  const loaded = loadConfigText(`node: n\n${head}pins: ${pins}\n`, 'dcs-io.yaml', { drivers, ...context });
  const problems = loaded.ok ? loaded.config.warnings : loaded.problems;
  const doubts = problems.filter(({ message }) => !message.includes('has no safe value'));
  return {
    where: loaded.ok ? loaded.config.pins.map(({ port, key, address }) => ({ port, key, address })) : [],
    said: doubts.map(({ severity, key, message, expected }) => `${severity} ${key}: ${message}; ${expected}`),
    config: loaded.ok ? loaded.config : undefined,
  };
}
const place = (pins: string, context: Partial<ConfigContext>, head = '') => {
  const { where, said } = load(pins, context, head);
  return [where.map(({ port, key }) => `${port}, ${key}`), said.length];
};
const BY_KERNEL = [['pwm.fe20c000.pwm, pwm 0'], 0];
const BY_SOFTWARE = [['gpio.pinctrl-bcm2711, line 18 pwm'], 1];
const slow = '{ fan: { gpio: GPIO18, direction: out, pwm: 10, safe: 0 } }';
const fast = '{ fan: { gpio: J8-12, direction: out, pwm: 1000, safe: 0 } }';

describe('pwm on a line of the board', () => {
  test('is the kernel’s where the overlay in the device tree connects the line, at any frequency', () => {
    expect(place(slow, { machine: four({}) })).toEqual(BY_KERNEL);
    const { where, said, config } = load(fast, { machine: four({}) });
    expect([where, said]).toEqual([
      [{ port: 'pwm.fe20c000.pwm', key: 'pwm 0', address: { pwm: 0, frequency: 1000 } }],
      [],
    ]);
    expect(config?.ports.map(({ driver, options }) => [driver.name, options])).toEqual([
      ['pwm', { chip: 'fe20c000.pwm', root: '/sys' }],
    ]);
    expect(config && [...linesInUse(config)]).toEqual([['pinctrl-bcm2711:18', 'fan']]);
  });

  test.each<[string, Overlay | undefined]>([
    ['no overlay', undefined],
    ['an overlay for another line', { pins: [12], functions: [4] }],
    ['the right line with a wrong function', { functions: [4] }],
    ['an overlay that is switched off', { status: 'disabled' }],
    ['pins that the PWM does not use', { phandle: 78 }],
  ])('is software’s with %s, with the line for config.txt; too fast for that is a mistake', (_, overlay) => {
    expect(place(slow, { machine: four(overlay) })).toEqual(BY_SOFTWARE);
    const [warning = ''] = load(slow, { machine: four(overlay) }).said;
    expect(warning).toMatch(
      /^warning pins\.fan\.pwm: .*software.*2 ms late; dtoverlay=pwm,pin=18,func=2 in config\.txt/,
    );
    const [error, ...more] = load(fast, { machine: four(overlay) }).said;
    expect(error).toMatch(
      /^error pins\.fan\.pwm: .*50 times a second at most; dtoverlay=pwm,pin=18,func=2 .*or 50 or less$/,
    );
    expect(more).toEqual([]);
  });

  test('two lines of one overlay are two channels, each with its own function or with one for both', () => {
    const two = '{ a: { gpio: GPIO18, direction: out, pwm: 900 }, b: { gpio: GPIO19, direction: out, pwm: 900 } }';
    for (const functions of [[2, 2], [2]]) {
      const overlay = { pins: [18, 19], functions };
      expect(place(two, { machine: four(overlay) })).toEqual([
        ['pwm.fe20c000.pwm, pwm 0', 'pwm.fe20c000.pwm, pwm 1'],
        0,
      ]);
    }
    expect(load(two, { machine: four({ pins: [18, 19], functions: [2, 4] }) }).said).toHaveLength(1);
  });

  test('a Raspberry Pi 5 has four channels, on the chip that is not the fan’s', () => {
    const all = [12, 13, 18, 19].map((line) => `p${line}: { gpio: GPIO${line}, direction: out, pwm: 900 }`).join(', ');
    const overlay = { pins: [12, 13, 18, 19], functions: [4, 4, 2, 2] };
    const [where] = place(`{ ${all} }`, { machine: pi('Raspberry Pi 5 Model B Rev 1.0', overlay) });
    expect(where).toEqual([0, 1, 2, 3].map((channel) => `pwm.1f00098000.pwm, pwm ${channel}`));
  });

  test('a BeagleBone’s line is the kernel’s while its pin is set to pwm', () => {
    const state = '/sys/devices/platform/ocp/ocp:P9_14_pinmux/state';
    const bone = (word: string) =>
      machine({ model: 'TI AM335x BeagleBone Black', contents: new Map([[state, Buffer.from(`${word}\n`)]]) });
    const pin = '{ fan: { gpio: P9_14, direction: out, pwm: 1000, safe: 0 } }';
    expect(place(pin, { machine: bone('pwm') })).toEqual([['pwm.48302200.pwm, pwm 0'], 0]);
    expect(load(pin, { machine: bone('default') }).said[0]).toMatch(/; config-pin P9\.14 pwm/);
  });

  test('is the kernel’s on another or a simulated computer, whose setup cannot be seen', () => {
    const head = 'board: raspberry-pi-4b\n';
    expect(place(fast, { machine: machine() }, head)).toEqual(BY_KERNEL);
    expect(place(fast, { machine: four(), mock: true })).toEqual(BY_KERNEL);
    // The chip is here, but no device tree is to be seen: a container.
    const hidden = machine({ files: ['/sys/bus/platform/devices/fe20c000.pwm'] });
    expect(load(fast, { machine: hidden }, head).said).toEqual([
      expect.stringMatching(/^warning .*cannot be seen here/),
    ]);
  });

  test('is software’s without PWM of the board, with bias or drive, and on a port that the pin names', () => {
    const line = (keys: string) => `{ fan: { gpio: GPIO18, direction: out, safe: 0, ${keys} } }`;
    const port = 'ports: { io: { driver: gpio, chip: pinctrl-bcm2711 } }\n';
    expect(place(line('pwm: 10, drive: open-drain'), { machine: four({}) })).toEqual([BY_SOFTWARE[0], 0]);
    expect(place(line('pwm: 10, port: io'), { machine: four({}) }, port)).toEqual([['io, line 18 pwm'], 0]);
    expect(place(line('pwm: 10'), { machine: four({}) }, port)).toEqual(BY_KERNEL);
    const too = (keys: string, gpio = 'GPIO18') =>
      load(`{ fan: { gpio: ${gpio}, direction: out, safe: 0, ${keys} } }`, { machine: four({}) }, port).said;
    expect(too('pwm: 1000, port: io')).toEqual([expect.stringMatching(/software switches 50 times .*no port$/)]);
    expect(too('pwm: 1000', 'GPIO17')).toEqual([
      expect.stringMatching(/; one of GPIO12, GPIO13, GPIO18, GPIO19; or 50 or less$/),
    ]);
    expect(too('pwm: 1000, drive: open-drain')).toHaveLength(1);
  });

  test('a line used as GPIO too, and a channel used at two lines, are mistakes', () => {
    const both = '{ fan: { gpio: GPIO18, direction: out, pwm: 10 }, lamp: { gpio: J8-12, direction: out } }';
    expect(load(both, { machine: four({}) }).said).toEqual([
      expect.stringMatching(/^error pins\.lamp: the line pinctrl-bcm2711:18 already is pin fan in line 2/),
    ]);
    const twice = '{ a: { gpio: GPIO18, direction: out, pwm: 10 }, b: { gpio: GPIO12, direction: out, pwm: 10 } }';
    expect(load(twice, { machine: four({ pins: [12, 18], functions: [4, 2] }) }).said).toEqual([
      expect.stringMatching(/^error pins\.b: pwm 0 of port pwm\.fe20c000\.pwm already is pin a/),
    ]);
  });

  test('uses the port that the user has opened on that PWM chip', () => {
    const port = 'ports: { wave: { driver: pwm, chip: fe20c000.pwm } }\n';
    expect(place(fast, { machine: four({}) }, port)).toEqual([['wave, pwm 0'], 0]);
  });
});

describe('the lines with PWM of every board', () => {
  const boards = listBoards().flatMap((name) => loadBoard(name) ?? []);
  test.each(boards.filter((board) => board.pwmLines().length > 0).map((board) => [board.name, board] as const))(
    '%s: are lines of the board, on a chip, each with what connects it',
    (_, board) => {
      for (const name of board.pwmLines()) {
        const line = board.resolve(name);
        expect(line && board.pwmOutput(line), name).toMatchObject({
          chip: expect.stringMatching(/^[0-9a-f]+\.pwm$/),
          howToConnect: expect.stringMatching(/dtoverlay=pwm,|config-pin/),
        });
      }
    },
  );

  test('every Raspberry Pi has four, named by the address of its processor’s PWM', () => {
    const pis = boards.filter(({ name }) => name.startsWith('raspberry-pi'));
    const chips = (name: string) =>
      boards.find((board) => board.name === name)?.pwmOutput({ chip: 'pinctrl-bcm2835', line: 18, mock: false })?.chip;
    expect(pis.filter((board) => board.pwmLines().length !== 4).map(({ name }) => name)).toEqual([]);
    expect([chips('raspberry-pi-zero'), chips('raspberry-pi-zero-2-w')]).toEqual(['2020c000.pwm', '3f20c000.pwm']);
  });
});
