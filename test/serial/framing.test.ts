import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { slipEncode } from '../../drivers/serial/framing/framers.ts';
import { optionsSchema } from '../../drivers/serial/options.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { collector, cutAnyhow, everySplit, framing, run } from './framers.ts';

const bytesOf = (text: string) => Buffer.from(text, 'latin1');

/** Each way of framing, bytes as a device may send them, and what must come of them. */
const examples: [
  name: string,
  framing: unknown,
  bytes: string,
  frames: string[],
  dropped?: string[],
  noise?: number,
][] = [
  ['lines', undefined, 'a\nbc\n\nd\nrest', ['a', 'bc', '', 'd']],
  ['a delimiter of two bytes', { delimiter: '\\r\\n' }, 'a\r\nb\rc\n\r\n\r\n', ['a', 'b\rc\n', '']],
  ['a delimiter that overlaps itself', { delimiter: 'aab' }, 'xaaabyaabaab', ['xa', 'y', '']],
  [
    'too long a line',
    { max: 5 },
    '12345\n123456\nok\n1234567890123456\nfine\n',
    ['12345', 'ok', 'fine'],
    ['overlong 6', 'overlong 16'],
  ],
  ['an end by expression', { pattern: '\\r\\n|[;\\n]' }, 'a;b\r\nc\rd\ne', ['a', 'b', 'c\rd']],
  [
    'an end by expression, too long',
    { pattern: '[;,]', max: 3 },
    'abc;abcd,abcdefghijklmnopqrstuvwxyz0123456789;x,',
    ['abc', 'x'],
    ['overlong 4', 'overlong 36'],
  ],
  ['fixed length', { length: 3 }, 'abcdefgh', ['abc', 'def']],
  [
    'fixed length with a start',
    { length: 4, start: '\\xaa\\xbb' },
    'noi\xaase\xaa\xbb12\xaa\xaa\xbb34\xaa',
    ['\xaa\xbb12', '\xaa\xbb34'],
    [],
    7,
  ],
  ['a length in front', { prefix: 'u8' }, '\x02ab\x00\x01c\x05de', ['\x02ab', '\x00', '\x01c']],
  [
    'a length in the header',
    { prefix: 'u16be', at: 1, extra: 2, start: 'S' },
    'xS\x00\x01a##S\x00\x00##',
    ['S\x00\x01a##', 'S\x00\x00##'],
    [],
    1,
  ],
  ['a length too large', { prefix: 'u8', max: 10, start: 'S', at: 1 }, 'S\xffS\x02ok', ['S\x02ok'], ['overlong 1'], 1],
  ['start and end', { start: '\\x02', end: '\\x03' }, 'x\x02ab\x03y\x02\x03\x02cd', ['ab', ''], [], 2],
  [
    'a start before the end',
    { start: '\\x02', end: '\\x03' },
    '\x02lost\x02a\x02ok\x03',
    ['ok'],
    ['incomplete 5', 'incomplete 2'],
  ],
  [
    'start and end, too long',
    { start: '<<', end: '>>', max: 4 },
    '<<abcd>><<abcde>><<x>>',
    ['abcd', 'x'],
    ['overlong 2'],
    7,
  ],
  [
    'start and an end by expression',
    { start: '/', endPattern: '![0-9A-F]{4}\\r\\n' },
    '../a!b\r\n!00FF\r\n/c!12',
    ['a!b\r\n'],
    [],
    2,
  ],
  [
    'SLIP',
    'slip',
    '\xc0ab\xc0\xc0c\xdb\xdcd\xdb\xdd\xc0\xdbx\xc0\xdb\xc0z',
    ['ab', 'c\xc0d\xdb'],
    ['damaged 1', 'damaged 0'],
  ],
];

describe('framing', () => {
  for (const [name, text, bytes, frames, dropped = [], noise = 0] of examples) {
    it(`${name}: gives the same frames wherever the bytes are split`, () => {
      const whole = run(framing(text), [bytesOf(bytes)]);
      expect(whole).toEqual({ frames, dropped, noise });
      for (const pieces of everySplit(bytesOf(bytes))) expect(run(framing(text), pieces)).toEqual(whole);
    });

    it(`${name}: any bytes in any pieces give the same frames, and none is too long`, () => {
      const max = typeof text === 'object' && text !== null && 'max' in text ? Number(text.max) : 4096;
      const alphabet = fc.constantFrom(...new Set(`${bytes}\x01\x02`));
      fc.assert(
        fc.property(
          fc.string({ unit: alphabet, maxLength: 120 }),
          fc.array(fc.integer({ min: 0, max: 20 })),
          (random, cuts) => {
            const whole = run(framing(text), [bytesOf(random)]);
            expect(run(framing(text), cutAnyhow(bytesOf(random), cuts))).toEqual(whole);
            for (const frame of whole.frames) expect(frame.length).toBeLessThanOrEqual(max);
          },
        ),
        { numRuns: 500 },
      );
    });

    it(`${name}: finds its way again after noise`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (noise) => {
          const clock = new ManualClock();
          const { sink, cut } = collector();
          const framer = framing(text, clock)(sink);
          for (const piece of [Buffer.from(noise), bytesOf(bytes), bytesOf(bytes)]) {
            framer.push(piece);
            await clock.advance(1000);
          }
          expect(cut.frames).toContain(frames.at(-1));
        }),
        { numRuns: 50 },
      );
    });
  }

  it('lines are those of the split text', () => {
    const alphabet = fc.constantFrom('a', 'b', '\r', '\n');
    fc.assert(
      fc.property(
        fc.string({ unit: alphabet, maxLength: 200 }),
        fc.string({ unit: alphabet, minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.integer({ min: 0, max: 20 })),
        (text, delimiter, max, cuts) => {
          const lines = text.split(delimiter).slice(0, -1);
          expect(run(framing({ delimiter, max }), cutAnyhow(Buffer.from(text), cuts))).toEqual({
            frames: lines.filter((line) => line.length <= max),
            dropped: lines.filter((line) => line.length > max).map((line) => `overlong ${line.length}`),
            noise: 0,
          });
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('SLIP decodes any encoded bytes', () => {
    const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }));
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 0, max: 9 })), (packed, cuts) => {
        const line = Buffer.concat(packed.map(slipEncode));
        expect(run(framing('slip'), cutAnyhow(line, cuts)).frames).toEqual(
          packed.map((frame) => Buffer.from(frame).toString('latin1')),
        );
      }),
    );
  });

  it('holds at most max bytes of a frame without an end', () => {
    const endless: [unknown, string][] = [
      [{ delimiter: '\\r\\n', max: 100 }, 'x'],
      [{ pattern: '\\r\\n', max: 100 }, 'x'],
      [{ start: 'x', end: 'y', max: 100 }, 'xabc'],
      [{ prefix: 'u16be', max: 100 }, '\xff'],
      [{ silence: '10ms', max: 100 }, 'x'],
      [{ timeout: '10ms', max: 100 }, 'x'],
      ['slip', 'x'],
    ];
    for (const [text, unit] of endless) {
      const framer = framing(text)({ frame: () => undefined, dropped: () => undefined });
      const chunk = Buffer.alloc(4096, unit, 'latin1');
      framer.push(chunk);
      const before = process.memoryUsage().arrayBuffers;
      for (let sent = 0; sent < 1_000_000; sent += chunk.length) framer.push(chunk);
      expect(process.memoryUsage().arrayBuffers - before, JSON.stringify(text)).toBeLessThan(500_000);
      framer.reset();
      expect(framer.reset()).toBe(0);
    }
  });

  it('a frame does not change while later bytes arrive', () => {
    const { sink, cut } = collector();
    const frames: Uint8Array[] = [];
    const framer = framing({})({ ...sink, frame: (bytes) => frames.push(bytes) });
    for (const piece of ['on', 'e\ntw', 'o\n', 'three\n']) framer.push(Buffer.from(piece));
    expect(frames.map((frame) => Buffer.from(frame).toString())).toEqual(['one', 'two', 'three']);
    expect(cut.dropped).toEqual([]);
  });
});

describe('framing by time', () => {
  it('silence ends a frame; every byte restarts the wait', async () => {
    const clock = new ManualClock();
    const { sink, cut } = collector();
    const framer = framing({ silence: '20ms', max: 10 }, clock)(sink);
    framer.push(Buffer.from('ab'));
    await clock.advance(15);
    framer.push(Buffer.from('cd'));
    await clock.advance(19);
    expect(cut.frames).toEqual([]);
    await clock.advance(1);
    framer.push(Buffer.from('0123456789x'));
    await clock.advance(20);
    framer.push(Buffer.from('e'));
    await clock.advance(20);
    expect(cut).toEqual({ frames: ['abcd', 'e'], dropped: ['overlong 11'], noise: 0 });
    expect(clock.pending).toBe(0);
  });

  it('a timeout ends a frame, counted from its first byte', async () => {
    const clock = new ManualClock();
    const { sink, cut } = collector();
    const framer = framing({ timeout: '50ms' }, clock)(sink);
    for (const piece of ['a', 'b', 'c', 'd']) {
      framer.push(Buffer.from(piece));
      await clock.advance(20);
    }
    await clock.advance(30);
    expect(cut.frames).toEqual(['abc', 'd']);
  });

  it('a frame that stays incomplete does not shift the next one', async () => {
    const clock = new ManualClock();
    const { sink, cut } = collector();
    const framer = framing({ length: 4, gap: '100ms' }, clock)(sink);
    framer.push(Buffer.from('abc'));
    await clock.advance(101);
    framer.push(Buffer.from('de'));
    await clock.advance(99);
    framer.push(Buffer.from('fg'));
    expect(cut).toEqual({ frames: ['defg'], dropped: ['incomplete 3'], noise: 0 });
  });

  it('raw passes on each chunk', () => {
    expect(run(framing('raw'), [Buffer.from('ab'), Buffer.from('c')]).frames).toEqual(['ab', 'c']);
  });
});

describe('framing options', () => {
  const messages = (issues: readonly z.core.$ZodIssue[]): string[] =>
    issues.flatMap((issue) => [
      issue.message,
      ...(issue.code === 'invalid_union' ? issue.errors.flatMap((branch) => messages(branch)) : []),
    ]);
  const complaint = (text: unknown) => {
    const { error } = optionsSchema.safeParse({ path: 'x', framing: text });
    return error && messages(error.issues).join('; ');
  };

  it('refuses keys that do not go together, and says which do', () => {
    expect(complaint({ delimiter: ';', length: 4 })).toContain('delimiter and length exclude each other');
    expect(complaint({ at: 2 })).toBe('at goes with prefix');
    expect(complaint({ delimiter: ';', start: 'x' })).toBe('start goes with length, prefix, end, endPattern');
    expect(complaint({ end: 'x' })).toContain('end needs a start');
    expect(complaint({ length: 1, start: 'ab' })).toBe('start is longer than length');
    expect(complaint({ delimiter: 'é' })).toContain('é is not ASCII');
    expect(complaint({ delimiter: '\\q' })).toContain('the escape \\q is unknown');
    expect(complaint({ pattern: '(' })).toContain('Unterminated group at character 1');
    expect(complaint('lines')).toContain('raw, slip');
    expect(complaint({ silence: '10ms' })).toBeUndefined();
  });
});
