import fc from 'fast-check';
import { expect, test } from 'vitest';
import { closestMatch, editDistance } from '../../src/config/closest-match.ts';

const word = fc.string({ minLength: 0, maxLength: 12 });

test('one letter added, dropped, changed or two swapped is one edit', () => {
  expect(editDistance('driver', 'drivers')).toBe(1);
  expect(editDistance('driver', 'driver')).toBe(0);
  expect(editDistance('drivr', 'driver')).toBe(1);
  expect(editDistance('drivxr', 'driver')).toBe(1);
  expect(editDistance('dirver', 'driver')).toBe(1);
  expect(editDistance('', 'pin')).toBe(3);
});

test('the distance is the same in both directions, 0 only for equal words, and at most the longer length', () => {
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      expect(distance).toBe(editDistance(b, a));
      expect(distance === 0).toBe(a === b);
      expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
    }),
  );
});

test('the nearest word is suggested, and none when all are far', () => {
  expect(closestMatch('debounse', ['direction', 'debounce', 'deadband'])).toBe('debounce');
  expect(closestMatch('gpio17', ['GPIO17', 'GPIO27'])).toBe('GPIO17');
  expect(closestMatch('banana', ['direction', 'debounce'])).toBeUndefined();
  expect(closestMatch('x', [])).toBeUndefined();
});
