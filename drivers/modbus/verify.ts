import type { Clock, DurationMs, Timer } from '../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { Table } from './protocol/request.ts';
import type { Task } from './schedule/task.ts';
import type { Watch } from './watch.ts';

/** Where a device shows that a write has had its effect, if that is not the register written. */
export interface Verify {
  readonly table: Table;
  readonly first: number;
  /** How long the device may take to get there. */
  readonly delayMs: DurationMs;
  /** Numbers may differ by this. */
  readonly tolerance: number;
}

const READ_TTL_MS = 5000;

/** Delays that can all be ended at once. */
export class Delays {
  readonly #clock: Clock;
  readonly #waiting = new Set<(error: DcsError) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wait(delay: DurationMs): Promise<void> {
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const end = (error?: DcsError) => {
        timer?.cancel();
        this.#waiting.delete(end);
        if (error) reject(error);
        else resolve();
      };
      this.#waiting.add(end);
      timer = this.#clock.after(delay, () => end());
    });
  }

  end(error: DcsError): void {
    for (const end of [...this.#waiting]) end(error);
  }
}

/**
 * Looks, after its delay, whether an acknowledged write has had its effect. Rejects with DEVICE_REFUSED when the device
 * shows something else, and with TIMEOUT when it cannot be asked: then nobody knows.
 */
export async function verifyWrite(
  watch: Watch,
  verify: Verify,
  written: RawValue,
  delays: Delays,
  run: (task: Task<Buffer>) => Promise<Buffer>,
): Promise<void> {
  const { key } = watch.channel;
  const { unit } = watch.span;
  const count = watch.format?.words ?? 1;
  let data: Buffer;
  try {
    await delays.wait(verify.delayMs);
    const { table, first } = verify;
    data = await run({
      lane: 'verify',
      unit,
      ttlMs: READ_TTL_MS,
      work: (ask) => ask({ kind: 'read', unit, table, first, count }),
    });
  } catch (thrown) {
    const cause = toDcsError(thrown);
    throw new DcsError('TIMEOUT', `${key}: the device took the value, but it could not be verified: ${cause.message}`, {
      cause,
    });
  }
  const found = watch.decodeOwn(data);
  const wanted = watch.shownAs(written);
  if (found.ok && wanted !== undefined && agrees(found.value, wanted, verify.tolerance)) return;
  throw new DcsError(
    'DEVICE_REFUSED',
    `${key}: the device took ${written}, but ${verify.table} ${verify.first} then showed ${found.ok ? found.value : found.error.message}`,
    { found: found.ok ? found.value : found.error.message, expected: `${written} ± ${verify.tolerance}` },
  );
}

function agrees(found: RawValue, wanted: RawValue, tolerance: number): boolean {
  if (typeof found !== 'number' || typeof wanted !== 'number') return found === wanted;
  return Math.abs(found - wanted) <= tolerance;
}
