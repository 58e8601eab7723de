import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeControls, hexRows, LineSplitter } from '../../src/cli/serial-monitor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';

function bench() {
  const clock = new ManualClock();
  const lines: string[] = [];
  const cutter = new LineSplitter((bytes) => lines.push(bytes.toString('latin1')), clock);
  return { clock, lines, say: (text: string) => cutter.push(Buffer.from(text, 'latin1'), clock.unix()) };
}

describe('LineSplitter', () => {
  it('gives the same lines however the bytes are split', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[ab\r\n]{0,6}$/)), (parts) => {
        const { lines, say } = bench();
        for (const part of [...parts, '\n']) say(part);
        const whole = bench();
        whole.say(`${parts.join('')}\n`);
        expect(lines).toEqual(whole.lines);
      }),
    );
  });

  it('gives a prompt without a line end after 200 ms, and no empty line for its late end', async () => {
    const { clock, lines, say } = bench();
    say('one\r\nlogin: ');
    expect(lines).toEqual(['one']);
    await clock.advance(200);
    expect(lines).toEqual(['one', 'login: ']);
    say('two\r');
    await clock.advance(200);
    say('\nthree\n');
    expect(lines).toEqual(['one', 'login: ', 'two', 'three']);
    expect(clock.pending).toBe(0);
  });

  it('cuts a line without an end at 4096 bytes', () => {
    const { lines, say } = bench();
    for (let at = 0; at < 100; at++) say('x'.repeat(1000));
    expect(lines.length).toBe(24);
    expect(lines.every((line) => line.length === 4096)).toBe(true);
  });

  it('escapes control characters, which could control the terminal', () => {
    expect(escapeControls(Buffer.from('a\x1b[2Jb\tc\x07 ü °'))).toBe('a\\x1b[2Jb\tc\\x07 ü °');
    expect(escapeControls(Buffer.from([0x41, 0xff, 0x9b, 0x00]))).toBe('A\\xff\\x9b\\x00');
  });

  it('prints hexadecimal rows of sixteen bytes with their characters', () => {
    const rows = hexRows(Buffer.from([0x02, 0x4f, 0x4b, ...Buffer.alloc(14, 0x41), 0xff]));
    expect(rows).toEqual([`02 4f 4b${' 41'.repeat(13)}  .OKAAAAAAAAAAAAA`, `41 ff${' '.repeat(44)}A.`]);
  });
});
