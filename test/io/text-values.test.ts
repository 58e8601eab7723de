import { describe, expect, it } from 'vitest';
import { toRaw } from '../../src/io/convert.ts';
import { pinSpec } from '../support/pin-bench.ts';

const text = (keys: object) => pinSpec({ name: 'mode', kind: 'text', direction: 'out', ...keys });

describe('true and false for a text pin', () => {
  it.each([
    [
      'the values that it names in on and off',
      { words: ['stop', 'idle', 'run'], on: ['run'], off: 'stop' },
      'run',
      'stop',
    ],
    ['its values named on and off', { words: ['off', 'on', 'auto'] }, 'on', 'off'],
    ['its values named true and false', { words: ['false', 'true'] }, 'true', 'false'],
    [
      'its value named on, when several are on',
      { words: ['off', 'on', 'auto'], on: ['on', 'auto'], off: 'off' },
      'on',
      'off',
    ],
    [
      'its values named on and off, and not what a rule turns it off with',
      { words: ['off', 'standby', 'on', 'run'], on: ['run'], off: 'standby' },
      'on',
      'off',
    ],
  ])('mean %s', (_what, keys, on, off) => {
    expect([toRaw(text(keys), true), toRaw(text(keys), false)]).toEqual([on, off]);
  });

  it.each([
    ['it has no such values', { words: ['stop', 'run'] }],
    ['several values are on, and none has that name', { words: ['stop', 'slow', 'fast'], on: ['slow', 'fast'] }],
    ['it takes any text', {}],
  ])('are refused when %s', (_what, keys) => {
    expect(() => toRaw(text(keys), true)).toThrow(/mode is text and cannot be true/);
  });
});
