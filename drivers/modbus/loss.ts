import type { DurationMs } from '../../src/clock/clock.ts';
import type { LossLimits } from '../../src/driver/kit/unit-health.ts';
import type { ModbusOptions } from './options.ts';
import type { Quirks } from './quirks.ts';

/** Responses that are waited for after each request without answer on a stream: the late reply must not be taken for another. */
const LATE_REPLY_TIMEOUTS = 3;

/** What counts as a loss of one unit: see docs/modbus.md. */
export interface UnitLoss extends LossLimits {
  /** Ages beyond its poll period at which a value is uncertain, then bad. */
  readonly uncertainMs: DurationMs;
  readonly badMs: DurationMs;
}

/** The limits of a unit: its quirks', else the port's, else those that follow from the response timeout. */
export function lossOf(options: ModbusOptions, quirks: Quirks | undefined): UnitLoss {
  const timeout = quirks?.timeout ?? options.timeout;
  const misses = quirks?.misses ?? options.misses;
  const missMs = options.framing === 'tcp' ? timeout : (1 + LATE_REPLY_TIMEOUTS) * timeout;
  // Reads of other pins and units that get no answer keep a read waiting too: twice the time of its own.
  const uncertainMs = quirks?.uncertain_after ?? options.uncertain_after ?? 2 * misses * missMs;
  const badMs = quirks?.bad_after ?? options.bad_after ?? 2 * uncertainMs;
  return {
    retries: quirks?.retries ?? options.retries,
    misses,
    missMs: timeout / 2,
    uncertainMs: Math.min(uncertainMs, badMs),
    badMs,
  };
}

/** The keys of these limits that cannot hold together, with the reason. */
export function lossMistakes(loss: {
  readonly timeout: DurationMs;
  readonly uncertain_after?: DurationMs | undefined;
  readonly bad_after?: DurationMs | undefined;
}): { readonly key: 'uncertain_after' | 'bad_after'; readonly message: string }[] {
  const { timeout, uncertain_after, bad_after } = loss;
  const tooShort = (value: DurationMs | undefined) => value !== undefined && value < timeout;
  const message = `at least the response timeout, ${timeout} ms: an answer may take that long`;
  if (tooShort(uncertain_after)) return [{ key: 'uncertain_after', message }];
  if (tooShort(bad_after)) return [{ key: 'bad_after', message }];
  if (uncertain_after === undefined || bad_after === undefined || bad_after >= uncertain_after) return [];
  return [{ key: 'bad_after', message: 'at least uncertain_after: a value is uncertain before it is bad' }];
}
