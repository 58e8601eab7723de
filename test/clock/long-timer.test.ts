import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';

const DAY = 86_400_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('a time longer than a timer of Node can be is kept: an override for 60 days is neither over at once nor looked at a thousand times a second', () => {
  let calls = 0;
  systemClock.after(60 * DAY, () => calls++);
  vi.advanceTimersByTime(59 * DAY);
  expect(calls).toBe(0);
  vi.advanceTimersByTime(DAY);
  expect(calls).toBe(1);
  vi.advanceTimersByTime(60 * DAY);
  expect(calls).toBe(1);
});

it('such a timer can be ended at any time', () => {
  let calls = 0;
  const timer = systemClock.after(60 * DAY, () => calls++);
  vi.advanceTimersByTime(50 * DAY);
  timer.cancel();
  vi.advanceTimersByTime(60 * DAY);
  expect([calls, vi.getTimerCount()]).toEqual([0, 0]);
});
