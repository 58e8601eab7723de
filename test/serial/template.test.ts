import { describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import { parseTemplate, render, resolutionOf, type TemplateType } from '../../drivers/serial/template.ts';
import type { TextEncoding } from '../../drivers/serial/text.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';

function sent(source: string, type: TemplateType, value: RawValue, encoding: TextEncoding = 'utf8'): string {
  const parsed = parseTemplate(source, type);
  if (!parsed.ok) return `refused: ${parsed.problem}`;
  try {
    return render(parsed.template, value, encoding).toString('latin1');
  } catch (error) {
    return error instanceof DcsError ? error.code : String(error);
  }
}

describe('write templates', () => {
  it('formats numbers as Python does', () => {
    const cases: [string, number, string][] = [
      ['SP{value:05.1f}\\r\\n', 7.25, 'SP007.3\r\n'],
      ['SP{value:05.1f}', -7.25, 'SP-07.3'],
      ['{value:+.2f}', 1, '+1.00'],
      ['{value:6.1f}|', -2.5, '  -2.5|'],
      ['{value:03d}', 7, '007'],
      ['{value:d}', -12, '-12'],
      ['{value:02X}{value:x}', 171, 'ABab'],
      ['{value:.3e}', 12346, '1.235e+04'],
      ['{value}', 0.1, '0.1'],
      ['{value:.1f}', -0.04, '0.0'],
      ['a{{{value}}}b', 1, 'a{1}b'],
      ['\\x02{value}\\x03', 5, '\x025\x03'],
    ];
    for (const [source, value, text] of cases) expect(sent(source, 'number', value), source).toBe(text);
  });

  it('refuses a value that does not fit instead of rounding, cutting or shifting', () => {
    expect(sent('{value:d}', 'number', 1.5)).toBe('BAD_VALUE');
    expect(sent('{value:03d}', 'number', 1000)).toBe('OUT_OF_RANGE');
    expect(sent('{value:03d}', 'number', -100)).toBe('OUT_OF_RANGE');
    expect(sent('{value:05.1f}', 'number', 1000)).toBe('OUT_OF_RANGE');
    expect(sent('{value:05.1f}', 'number', 999.96)).toBe('OUT_OF_RANGE');
    expect(sent('{value:.1f}', 'number', 1e22)).toBe('OUT_OF_RANGE');
  });

  it('give the distance of neighbouring numbers where they round, however large the value', () => {
    const cases: [string, number, number | undefined][] = [
      ['{value:.1f}', 121.74, 0.1],
      ['{value:.0f}', 121.74, 1],
      ['{value:f}', 0, 1e-6],
      ['{value:.3e}', 12346, 10],
      ['{value:.3e}', -0.0999, 1e-5],
      ['{value:.1e}', 1000, 100],
      ['{value:.1e}', 999.9999999999999, 10],
      ['{value:.1e}', 0, undefined],
      ['{value:.2f};{value:.1f};{value}', 121.74, 0.1],
      ['{value}', 121.74, undefined],
      ['{value:d}', 12, undefined],
      ['{value:X}', 12, undefined],
    ];
    for (const [source, value, step] of cases) {
      const parsed = parseTemplate(source, 'number');
      if (!parsed.ok) throw new Error(parsed.problem);
      const found = resolutionOf(parsed.template, value);
      expect(found && Number(found.toPrecision(12)), source).toBe(step);
    }
  });

  it('writes bools as words, and text without control characters', () => {
    expect([sent('R{value:ON|OFF}\\r', 'bool', true), sent('R{value:ON|OFF}\\r', 'bool', false)]).toEqual([
      'RON\r',
      'ROFF\r',
    ]);
    expect(sent('R{value}', 'bool', true)).toBe('R1');
    expect(sent('SAY {value}\\n', 'text', 'hello {world}')).toBe('SAY hello {world}\n');
    expect(sent('SAY {value}\\n', 'text', 'x\nSELFDESTRUCT')).toBe('BAD_VALUE');
    expect(sent('{value}', 'text', 'é', 'latin1')).toBe('\xe9');
    expect(sent('{value}', 'text', '€', 'latin1')).toBe('BAD_VALUE');
    expect(sent('{value}', 'text', 'é', 'ascii')).toBe('BAD_VALUE');
  });

  it('is checked when the configuration is loaded', () => {
    const problem = (keys: object) => serial.pin.safeParse(keys).error?.issues[0]?.message;
    expect(problem({ write: 'SP{valve:05.1f}' })).toContain('{valve:05.1f} is no place for a number');
    expect(problem({ write: 'SP{value:05.1q}' })).toContain('is no place for a number');
    expect(problem({ write: 'SP{value:ON|OFF}' })).toContain('is no place for a number');
    expect(problem({ write: 'SP{value:.1f}', type: 'bool' })).toContain('is no place for a bool');
    expect(problem({ write: 'SP{value' })).toContain('{ is no place');
    expect(problem({ write: 'ON\\r' })).toContain('has no {value}');
    expect(problem({ write: 'ÄN{value}' })).toContain('is not ASCII');
    expect(problem({ write: { on: 'a', off: 'b' } })).toContain('goes with type: bool');
    expect(problem({ write: { on: 'a', off: 'b' }, type: 'bool' })).toBeUndefined();
  });

  it('keys that do not go together are refused with the reason', () => {
    const issue = (keys: object) => serial.pin.safeParse(keys).error?.issues[0];
    expect(issue({})?.message).toContain('needs match, at, write or control');
    expect(issue({ at: 2 })?.message).toBe('at and as go together');
    expect(issue({ match: '(a)', poll: '1s' })?.message).toContain('ask is missing');
    expect(issue({ match: '(a)', reply: 'OK' })?.message).toContain('reply goes with write');
    expect(issue({ write: '{value}', retries: 2 })?.message).toContain('retries goes with reply');
    expect(issue({ match: '(a)', on: ['x'] })?.message).toBe('goes with type: bool');
    expect(issue({ control: 'dtr', match: '(a)' })?.path).toEqual(['match']);
  });
});
