import { expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { Debouncer } from '../../src/io/input-filters.ts';

it('keeps a failure that comes while the settled level is read: what that read finds is older', async () => {
  const clock = new ManualClock();
  const answers: ((reading: Reading) => void)[] = [];
  const passed: Reading[] = [];
  const read = () => new Promise<Reading>((resolve) => answers.push(resolve));
  const debouncer = new Debouncer(clock, 10, read, (reading) => passed.push(reading));
  debouncer.onReading({ ok: true, value: false });
  debouncer.onReading({ ok: true, value: true });
  await clock.advance(10);
  expect(answers).toHaveLength(1);

  const lost: Reading = { ok: false, error: new DcsError('PORT_DOWN', 'the line is lost') };
  debouncer.onReading(lost);
  answers[0]?.({ ok: true, value: true });
  await clock.advance(100);
  expect(passed).toEqual([{ ok: true, value: false }, lost]);
});
