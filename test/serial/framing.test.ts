import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DelimiterFramer } from '../../drivers/serial/framing/delimiter.ts';
import { cutAnyhow, everySplit, type FramerMaker, run } from './framers.ts';

const delimiter =
  (text: string, max = 4096): FramerMaker =>
  (sink) =>
    new DelimiterFramer(Buffer.from(text, 'latin1'), max, sink);

describe('delimiter framing', () => {
  it('gives the same lines wherever the bytes are split', () => {
    for (const [text, bytes] of [
      ['\n', 'a\nbc\n\nd\n'],
      ['\r\n', 'a\r\nb\rc\n\r\n\r\nrest'],
      ['aab', 'xaaabyaabaab'],
    ] as const) {
      const whole = run(delimiter(text), [Buffer.from(bytes)]);
      expect(whole.frames).toEqual(bytes.split(text).slice(0, -1));
      for (const parts of everySplit(Buffer.from(bytes))) expect(run(delimiter(text), parts)).toEqual(whole);
    }
  });

  it('drops a line that is longer than max, counts it once with its bytes, and reads the next one', () => {
    const bytes = Buffer.from('12345\n123456\nok\n1234567890123456\nfine\n');
    const whole = run(delimiter('\n', 5), [bytes]);
    expect(whole).toEqual({ frames: ['12345', 'ok', 'fine'], dropped: [6, 16] });
    for (const parts of everySplit(bytes)) expect(run(delimiter('\n', 5), parts)).toEqual(whole);
  });

  it('any bytes in any pieces give the frames of splitting the whole', () => {
    const alphabet = fc.constantFrom('a', 'b', '\r', '\n');
    fc.assert(
      fc.property(
        fc.string({ unit: alphabet, maxLength: 200 }),
        fc.string({ unit: alphabet, minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.integer({ min: 0, max: 20 })),
        (text, end, max, cuts) => {
          const lines = text.split(end).slice(0, -1);
          expect(run(delimiter(end, max), cutAnyhow(Buffer.from(text), cuts))).toEqual({
            frames: lines.filter((line) => line.length <= max),
            dropped: lines.filter((line) => line.length > max).map((line) => line.length),
          });
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('holds no more than max, however long a line without an end is', () => {
    const sink = { frame: () => undefined, dropped: () => undefined };
    const framer = delimiter('\r\n', 100)(sink);
    const before = process.memoryUsage().arrayBuffers;
    const chunk = Buffer.alloc(4096, 'x');
    for (let sent = 0; sent < 50_000_000; sent += chunk.length) framer.push(chunk);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
    expect(framer.reset()).toBeGreaterThanOrEqual(50_000_000);
    expect(framer.reset()).toBe(0);
  });

  it('a frame stays what it was while later bytes come in', () => {
    const frames: Uint8Array[] = [];
    const framer = delimiter('\n')({ frame: (bytes) => frames.push(bytes), dropped: () => undefined });
    for (const piece of ['on', 'e\ntw', 'o\n', 'three\n']) framer.push(Buffer.from(piece));
    expect(frames.map((frame) => Buffer.from(frame).toString())).toEqual(['one', 'two', 'three']);
  });
});
