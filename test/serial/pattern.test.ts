import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import { MATCH_LIMIT_MS, Matcher, regexCost } from '../../drivers/serial/matcher.ts';
import { compilePattern } from '../../drivers/serial/text.ts';
import { type CaptureType, readCapture } from '../../drivers/serial/value.ts';

function problem(source: string): string {
  const compiled = compilePattern(source);
  return compiled.ok ? 'none' : compiled.problem;
}

const read = (text: string | undefined, type: CaptureType, decimal: '.' | ',' = '.') =>
  readCapture(text, { type, decimal });

describe('patterns', () => {
  it("a wrong pattern is refused with the engine's message and the place", () => {
    expect(problem('ST,GS,([0-9]+kg')).toBe('Unterminated group at character 7: ST,GS,( ← here');
    expect(problem('(a)(b')).toContain('Unterminated group at character 4');
    expect(problem('(a**)')).toContain('Nothing to repeat at character 4');
    expect(problem('a(b[c')).toContain('Unterminated character class at character 4');
    expect(problem('ab)c')).toContain("Unmatched ')' at character 3");
    expect(problem('(?P<weight>[0-9]+)')).toContain('a named group is written (?<name>…)');
  });

  it('match must have exactly one capture, or capture must name one', () => {
    const first = (keys: object) => serial.pin.safeParse(keys).error?.issues[0];
    expect(first({ match: '[0-9]+' })?.message).toContain('0 captures');
    expect(first({ match: '([0-9]+)(kg|g)' })?.message).toContain('2 captures');
    expect(first({ match: '([0-9]+)(?:kg|g)' })).toBeUndefined();
    expect(first({ match: '(?<a>.)(?<b>.)', capture: 'b' })).toBeUndefined();
    expect(first({ match: '(?<a>.)(?<b>.)', capture: 'c' })).toMatchObject({
      path: ['capture'],
      message: 'match has no capture named c; it has a, b',
    });
  });

  it('the schema passes the problem on', () => {
    const result = serial.pin.safeParse({ match: '(' });
    expect(result.error?.issues[0]?.message).toContain('Unterminated group');
  });

  it('text that is no number is never read as one', () => {
    const numbers: [string, number][] = [
      ['12.5', 12.5],
      [' -  12.5', -12.5],
      ['+.5', 0.5],
      ['5.', 5],
      ['1e3', 1000],
      ['0012', 12],
    ];
    for (const [text, value] of numbers) expect(read(text, 'number')).toBe(value);
    for (const text of [
      '',
      ' ',
      '-',
      '.',
      '1.2.3',
      '0x10',
      'NaN',
      'Infinity',
      '1e999',
      '12,5',
      '--1',
      '1 2',
      '1_000',
    ]) {
      expect(read(text, 'number'), text).toBeUndefined();
    }
    expect(read(undefined, 'text')).toBeUndefined();
    expect(['ON', '1', 'true', 'off', '0', 'maybe', 'toString'].map((text) => read(text, 'bool'))).toEqual([
      true,
      true,
      true,
      false,
      false,
      undefined,
      undefined,
    ]);
  });
});

describe('captures', () => {
  it('hexadecimal, decimal commas, words of the device, and NMEA degrees', () => {
    expect([read('0x1F', 'hex'), read('ff', 'hex'), read('fg', 'hex')]).toEqual([31, 255, undefined]);
    expect([read('1,5', 'number', ','), read('1.5', 'number', ',')]).toEqual([1.5, undefined]);
    const door = { type: 'bool', decimal: '.', on: ['OPEN'], off: ['SHUT'] } as const;
    expect(['open', 'SHUT', '1'].map((text) => readCapture(text, door))).toEqual([true, false, undefined]);
    expect(read('4807.038,N', 'degrees')).toBeCloseTo(48.1173, 6);
    expect(read('01131.000,W', 'degrees')).toBeCloseTo(-11.516667, 6);
    for (const text of [',', '4860.0,N', '9101.0,N', '18100.0,E', '4807.038']) {
      expect(read(text, 'degrees'), text).toBeUndefined();
    }
  });
});

describe('matching', () => {
  function collect(matcher: Matcher, texts: string[]): string[] {
    const told: string[] = [];
    matcher.run(texts, {
      frame: (at, found) => {
        const matched = found.flatMap((captures, pattern) => (captures ? [`${pattern}=${captures[1]}`] : []));
        told.push(...(matched.length > 0 ? matched : [`${at} unmatched`]));
      },
      timeout: (pattern, final) => told.push(`${pattern} stuck${final ? ' for good' : ''}`),
    });
    return told;
  }

  it('tries every pattern on every frame, in order', () => {
    const matcher = new Matcher([/t=(\d+)/, /h=(\d+)/]);
    expect(collect(matcher, ['t=1 h=2', 'noise', 'h=3'])).toEqual(['0=1', '1=2', '1 unmatched', '1=3']);
    const many = Array.from({ length: 1000 }, (_, at) => `t=${at}`);
    expect(collect(matcher, many)).toEqual(many.map((_, at) => `0=${at}`));
  });

  it('a pattern of exponential time is stopped, reported, and no longer tried; the others go on', () => {
    const matcher = new Matcher([/(?:a+)+([b])/, /(\d+)/]);
    const evil = `${'a'.repeat(40)} 7`;
    const before = process.cpuUsage();
    expect(collect(matcher, [evil, '8'])).toEqual(['0 stuck', '1=7', '1=8']);
    expect(collect(matcher, [evil, evil])).toEqual(['0 stuck', '0 stuck for good', '1=7', '1=7']);
    expect(collect(matcher, [evil, 'x'])).toEqual(['1=7', '1 unmatched']);
    // Three strikes, each tried twice.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(6 * MATCH_LIMIT_MS + 1000);
  });
});

describe('the cost of a pattern', () => {
  it('is a power of the length for each repetition, and twice for each alternative', () => {
    expect(regexCost(/^L(\d+)$/)).toEqual({ power: 1, factor: 1 });
    expect(regexCost(/ST,GS,\s*([-+0-9.]+)kg/)).toEqual({ power: 3, factor: 1 });
    expect(regexCost(/^(a|b)?[)*+]x{2,3}?(?:c|d)$/)).toEqual({ power: 2, factor: 8 });
    expect(regexCost(/^\(\*\[+(?<n>.)/)).toEqual({ power: 1, factor: 1 });
  });

  it('is unknown when a group is repeated or referred to', () => {
    for (const source of ['(a+)+', '(?:a|b)*', '(a){2}', '(.)\\1', '(?<n>.)\\k<n>', '((a)b)*']) {
      expect(regexCost(new RegExp(source)), source).toBeUndefined();
    }
  });

  it('is never low for a slow pattern', () => {
    const part = fc.constantFrom(
      'a',
      'a*',
      'a+',
      'a?',
      '(a)',
      '(a|a)',
      '.*',
      '[ab]*',
      'a{0,9}',
      '(?:a|ab)',
      '$',
      'b',
      '^',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const matcher = new Matcher([new RegExp(`${parts.join('')}(c)`)]);
        const before = process.cpuUsage();
        matcher.run(['a'.repeat(60)], { frame: () => undefined, timeout: () => undefined });
        // Guarded ones may take twice their limit; cheap ones a fraction of it.
        expect(process.cpuUsage(before).user / 1000).toBeLessThan(2 * MATCH_LIMIT_MS + 400);
      }),
      { numRuns: 300 },
    );
  });
});
