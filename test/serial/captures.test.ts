import { describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import { SerialPort } from '../../drivers/serial/port.ts';
import { convertUnit } from '../../drivers/serial/units.ts';
import { readTime } from '../../drivers/serial/value.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { loadConfigText } from '../../src/config/load.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { memoryLog, recordReadings } from '../support/ports.ts';

const shown = (reading: Reading) =>
  reading.ok ? (reading.uncertain ?? reading.value) : `${reading.error.code}: ${reading.error.message}`;

/** What an input with these keys makes of the lines of its device. */
async function readings(keys: object, lines: readonly string[], uom?: string): Promise<unknown[]> {
  const options = serial.options.parse({ path: 'x' });
  const address = serial.pin.parse(keys);
  const { key = '', kind } = serial.describe(address, options);
  const channel = { key, kind, direction: 'in', address, debounceMs: 0, ...(uom !== undefined && { uom }) } as const;
  const { changed, listen } = recordReadings();
  const clock = new ManualClock();
  const context = { clock, log: memoryLog(), changed, count() {}, down() {} };
  const port = new SerialPort(options, 'x', [channel], context);
  await port.begin({ async send() {}, async close() {} });
  await clock.advance(1000);
  const seen: unknown[] = [];
  listen(channel, (reading) => seen.push(shown(reading)));
  for (const line of lines) port.events.data(Buffer.from(`${line}\n`));
  await port.close();
  return seen;
}

const problem = (keys: object) => {
  const issue = serial.pin.safeParse(keys).error?.issues[0];
  return issue && `${issue.path.join('.')}: ${issue.message}`;
};

describe('a value from several captures', () => {
  it('is their texts joined, in the order asked, by name or by number', async () => {
    expect(
      await readings({ match: '(?<sign>[-+ ]);W(?<digits>[\\d.]+)', capture: ['sign', 'digits'] }, ['-;W12.5']),
    ).toEqual([-12.5]);
    expect(await readings({ match: '^(\\d+)\\|(\\d+)$', capture: [2, 1] }, ['12|34', '05|6'])).toEqual([3412, 605]);
    expect(await readings({ match: '^(\\d+) (\\d+)$', capture: 2 }, ['12 34'])).toEqual([34]);
    const degrees = { match: '^([\\d.]*)\\s([NS])$', capture: '{1},{2}', type: 'degrees' };
    expect(await readings(degrees, ['4807.038 S'])).toEqual([-(48 + 7.038 / 60)]);
  });

  it('may have text between them: the place of the decimal point stands elsewhere', async () => {
    const keys = { match: '^D(?<decimals>\\d);(?<digits>[-\\d]+)$', capture: '{digits}e-{decimals}' };
    expect(await readings(keys, ['D2;001234', 'D0;7', 'D3;-5', 'D3;--'])).toEqual([
      12.34,
      7,
      -0.005,
      expect.stringContaining('"--e-3" has no number'),
    ]);
  });

  it('takes the alternative that has matched, and is no number when none has', async () => {
    const keys = { match: '^(?:A=(\\d+)|B=(\\d+)|C)$', capture: [1, 2] };
    expect(await readings(keys, ['A=1', 'B=2', 'C'])).toEqual([1, 2, expect.stringContaining('BAD_REPLY')]);
  });

  it('is the capture named value by itself; a wrong name, number or place is refused', () => {
    expect(problem({ match: '(?<value>\\d+)(?<uom>kg)' })).toBeUndefined();
    expect(problem({ match: '(\\d)(\\d)', capture: 3 })).toBe('capture: match has no capture 3; it has 2');
    expect(problem({ match: '(?<a>\\d)(?<b>\\d)', capture: ['a', 'c'] })).toBe(
      'capture: match has no capture named c; it has a, b',
    );
    expect(problem({ match: '(?<a>\\d)(?<b>\\d)', capture: '{a}.{x}' })).toBe(
      'capture: match has no capture named x; it has a, b',
    );
    expect(problem({ at: 1, as: 'u8', capture: 1 })).toBe('capture: capture goes with match, without at');
  });
});

describe('a frame with which the device says that its value does not count', () => {
  it('makes the pin bad at once, also when it has no value, until the next value that counts', async () => {
    const keys = { match: '^POS (\\d+)', bad: 'status V' };
    expect(await readings(keys, ['POS 12', 'POS 13 status V', 'status V', 'POS 14 status A', 'noise'])).toEqual([
      12,
      'BAD_REPLY: the device says that the value does not count: "POS 13 status V"',
      'BAD_REPLY: the device says that the value does not count: "status V"',
      14,
    ]);
  });

  it('makes bytes of a frame bad too, and answers a question', async () => {
    expect(await readings({ at: 2, as: 'u8', bad: '^E' }, ['OK!', 'Err'])).toEqual([
      33,
      expect.stringContaining('"Err"'),
    ]);
    expect(problem({ write: 'X{value}', bad: 'x' })).toBe('bad: bad goes with match or at');
  });

  it('is assumed when its expression takes too long to know', async () => {
    const evil = 'a'.repeat(40);
    const keys = { match: '^(\\d+)', bad: '(?:a+)+b' };
    const seen = await readings(keys, ['1', `2${evil}`, `3${evil}`, `4${evil}`, '5']);
    expect(seen[0]).toBe(1);
    expect(seen.slice(1).filter((one) => typeof one === 'number')).toEqual([]);
  });
});

describe('a device that says the unit of its value', () => {
  const scale = { match: '^(?<value>[-\\d.]+)\\s*(?<uom>[A-Za-z]*)$' };

  it('gives values in the unit of the pin, and none in a unit of something else', async () => {
    expect(await readings(scale, ['1.5kg', '500 g', '2 lb', '3oz', '0.002 t', '12 KG'], 'kg')).toEqual([
      1.5, 0.5, 0.90718474, 0.085048569375, 2, 12,
    ]);
    expect(await readings(scale, ['7 pcs', '7', '7 V'], 'kg')).toEqual([
      'BAD_REPLY: the device says "pcs", which cannot be converted to kg',
      'BAD_REPLY: the device says no unit, which cannot be converted to kg',
      'BAD_REPLY: the device says "V", which cannot be converted to kg',
    ]);
    expect(await readings(scale, ['3 Stk', '4 kg'], 'Stk')).toEqual([3, expect.stringContaining('BAD_REPLY')]);
  });

  it('is bad when the unit differs from a known one in the case of a prefix: m is a thousandth, M a million', async () => {
    const prefixes = [
      ['mWh', 'Wh'],
      ['mJ', 'Wh'],
      ['mvar', 'var'],
      ['mvarh', 'varh'],
      ['mVA', 'VA'],
      ['mVAh', 'VAh'],
      ['mHz', 'Hz'],
      ['mPa', 'Pa'],
      ['ML', 'l'],
      ['Ml', 'l'],
      ['Mg', 'kg'],
      ['MG', 'kg'],
      ['MV', 'V'],
      ['MA', 'A'],
      ['Mm', 'm'],
      ['MBAR', 'bar'],
      ['Ms', 's'],
      ['mW', 'MWh'],
    ] as const;
    for (const [said, wanted] of prefixes) expect(convertUnit(5, said, wanted), said).toBeUndefined();
    // The unit of the pin is read by the same rule.
    expect(convertUnit(5, 'MWh', 'mWh')).toBeUndefined();
    expect(await readings(scale, ['5mWh'], 'Wh')).toEqual([
      'BAD_REPLY: the device says "mWh", which cannot be converted to Wh',
    ]);
    expect(await readings({ ...scale, units: { mWh: 0.001 } }, ['5mWh'], 'Wh')).toEqual([0.005]);
  });

  it('may spell it in letters of another case where that leaves no doubt', () => {
    const spellings = [
      ['KWH', 'Wh', 5000],
      ['MWH', 'Wh', 5e6],
      ['Kg', 'g', 5000],
      ['LB', 'lb', 5],
      ['M3', 'l', 5000],
      ['M3/H', 'm3/h', 5],
      ['MIN', 's', 300],
      ['kHZ', 'Hz', 5000],
      ['MVAR', 'var', 5e6],
      ['hpa', 'Pa', 500],
      ['v', 'V', 5],
    ] as const;
    for (const [said, wanted, value] of spellings) expect(convertUnit(5, said, wanted), said).toBe(value);
  });

  it('may have units of its own', async () => {
    const keys = { ...scale, units: { KGM: 1, GRM: 0.001, g: 2 } };
    expect(await readings(keys, ['1 KGM', '500 GRM', '3 g', '4 lb'], 'kg')).toEqual([1, 0.5, 6, 1.81436948]);
    expect(await readings(keys, ['1 KGM', '4 lb'])).toEqual([1, expect.stringContaining('BAD_REPLY')]);
  });

  it('may have words of its own for known units, whatever the unit of the pin', async () => {
    const keys = { ...scale, units: { GN: '64.79891 mg', KGM: 'kg' } };
    expect(await readings(keys, ['1000 GN', '2 KGM', '3 lb'], 'kg')).toEqual([0.06479891, 2, 1.36077711]);
    expect(await readings(keys, ['1000 GN', '2 KGM'], 'g')).toEqual([64.79891, 2000]);
    expect(await readings(keys, ['2 KGM'], 'V')).toEqual([expect.stringContaining('BAD_REPLY')]);
    expect(problem({ ...scale, units: { KGM: 'kilo' } })).toContain('units.KGM: kilo has no unit that is known');
  });

  it('converts what meters and thermometers say', () => {
    const converted = (value: number, from: string, to: string) => convertUnit(value, from, to);
    expect(converted(6545766, 'Wh', 'kWh')).toBe(6545.766);
    expect(converted(1, 'GJ', 'kWh')).toBe(277.777777778);
    expect(converted(212, 'F', '°C')).toBe(100);
    expect(converted(-40, '°C', '°F')).toBe(-40);
    expect(converted(300, 'K', '°C')).toBe(26.85);
    expect(converted(12, 'm3', 'm³')).toBe(12);
    expect(converted(107, 'l', 'm³')).toBe(0.107);
    // mW is not MW, and Mw is none of the two.
    expect([converted(1, 'mW', 'W'), converted(1, 'MW', 'W'), converted(1, 'Mw', 'W')]).toEqual([
      0.001,
      1e6,
      undefined,
    ]);
    expect([converted(1, 'W', 'Wh'), converted(1, '', 'W'), converted(1, 'toString', 'W')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('needs a pin with a unit: check says so at the pin', () => {
    const check = (pin: string) => {
      const text = `ports:\n  s: { driver: serial, path: /dev/x }\npins:\n  w: { port: s, match: '([0-9.]+)(?<uom>kg)', capture: 1${pin} }\n`;
      const loaded = loadConfigText(text, '/x.yaml', { drivers: [serial] });
      return loaded.ok ? [] : loaded.problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
    };
    expect(check(', uom: kg')).toEqual([]);
    expect(check(', units: { kg: 1 }')).toEqual([]);
    expect(check('')).toEqual(['4:3 match has a capture named uom, the unit that the device says; the pin says none']);
    expect(problem({ match: '(\\d)', units: { kg: 1 } })).toContain('units goes with a capture of match named uom');
    // The unit itself may be a pin.
    expect(problem({ match: '(\\d+)(?<uom>kg|g)', capture: 'uom', type: 'text' })).toBeUndefined();
  });
});

describe('a value with a time of its own', () => {
  const keys = { match: '^(?<now>\\d+[SW]?) (?<time>\\d+[SW]?) (?<value>\\d+)$', max_lag: '48h' };

  it('is uncertain when it is much older than its telegram, by the clock of the device', async () => {
    const lines = ['210922094500S 210922090000S 1', '210922094500S 210919090000S 2', '210922094500S 632525252525S 3'];
    expect(await readings(keys, [...lines, '210328031000S 210328015500W 4'])).toEqual([
      1,
      'the value is 73 h older than the telegram',
      'the value has no time: 632525252525S',
      4,
    ]);
  });

  it('is read as summer or winter time of central Europe', () => {
    expect(readTime('210719151135S')).toBe(Date.UTC(2021, 6, 19, 13, 11, 35) / 1000);
    expect(readTime('210119151135W')).toBe(Date.UTC(2021, 0, 19, 14, 11, 35) / 1000);
    for (const text of ['', '632525252525S', '210230000000', '21071915113', 'x']) {
      expect(readTime(text), text).toBeUndefined();
    }
  });

  it('needs both times in the expression', () => {
    expect(problem({ match: '(?<time>\\d+) (\\d+)', capture: 2, max_lag: '1h' })).toContain(
      'max_lag goes with captures',
    );
  });
});
