import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';

const DAY = 86_400_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('a delay longer than a Node.js timer fires once and in time: an override of 60 days does not end at once', () => {
  let calls = 0;
  systemClock.after(60 * DAY, () => calls++);
  vi.advanceTimersByTime(59 * DAY);
  expect(calls).toBe(0);
  vi.advanceTimersByTime(DAY);
  expect(calls).toBe(1);
  vi.advanceTimersByTime(60 * DAY);
  expect(calls).toBe(1);
});

it('a long timer can be cancelled at any time', () => {
  let calls = 0;
  const timer = systemClock.after(60 * DAY, () => calls++);
  vi.advanceTimersByTime(50 * DAY);
  timer.cancel();
  vi.advanceTimersByTime(60 * DAY);
  expect([calls, vi.getTimerCount()]).toEqual([0, 0]);
});
