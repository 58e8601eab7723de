import type { UnixSeconds } from '../clock/clock.ts';
import type { IoReport, OutputReport, PinValue, Quality } from '../message/payloads.ts';
import type { PinSpec } from '../pin/pin.ts';

/** The result of one reading or write of a pin, in the user's units. */
export interface Observation {
  readonly val: PinValue;
  readonly quality: Quality;
  /** Why `quality` is not good. */
  readonly reason?: string | undefined;
  readonly sourceTime?: UnixSeconds | undefined;
  /** Counters: change of `val` per second. */
  readonly rate?: number | undefined;
}

/** The last known state of a pin, and the reports of it. */
export class PinState {
  readonly #spec: PinSpec;
  #observation: Observation = { val: null, quality: 'bad', reason: 'not read yet' };
  #lastChange: UnixSeconds = 0;
  #qualitySince: UnixSeconds = 0;
  #sourceTime: UnixSeconds | undefined;
  #seq = 0;

  constructor(spec: PinSpec) {
    this.#spec = spec;
  }

  get val(): PinValue {
    return this.#observation.val;
  }

  get rate(): number | undefined {
    return this.#observation.rate;
  }

  get reason(): string | undefined {
    return this.#observation.reason;
  }

  get quality(): Quality {
    return this.#observation.quality;
  }

  /** Time of the last observation, where the hardware says it: also when only its quality has changed. */
  get sourceTime(): UnixSeconds | undefined {
    return this.#observation.sourceTime;
  }

  /** Begins at this time. */
  start(now: UnixSeconds): void {
    this.#lastChange = now;
    this.#qualitySince = now;
  }

  /**
   * Takes over an observation. A value within the deadband of the last reported one is ignored. Returns whether there is
   * something to report.
   */
  update(found: Observation, now: UnixSeconds, deadband: number = this.#spec.deadband): boolean {
    const before = this.#observation;
    const differs = found.val !== before.val;
    const qualityDiffers = found.quality !== before.quality;
    const small = differs && !qualityDiffers && isWithinDeadband(found.val, before.val, deadband);
    const val = small ? before.val : found.val;
    this.#observation = val === found.val ? found : { ...found, val };
    if (differs && !small) {
      this.#lastChange = now;
      this.#sourceTime = found.sourceTime;
    }
    if (qualityDiffers) this.#qualitySince = now;
    // With a deadband, small changes of the rate are not reported either.
    const rateDiffers = found.rate !== before.rate && deadband === 0;
    return (differs && !small) || qualityDiffers || found.reason !== before.reason || rateDiffers;
  }

  report(replyTo: string | undefined, output?: OutputReport): IoReport {
    const { val, quality, reason, rate } = this.#observation;
    const sourceTime = this.#sourceTime;
    // Assigned one by one: spreading would cost more than all else here, and every edge comes through.
    const report: { -readonly [Key in keyof IoReport]: IoReport[Key] } = {
      pin_name: this.#spec.name,
      val,
      last_change: this.#lastChange,
      quality,
      seq: this.#seq++,
    };
    if (reason !== undefined) report.reason = reason;
    if (quality !== 'good') report.quality_since = this.#qualitySince;
    if (this.#spec.simulated) report.simulated = true;
    if (sourceTime !== undefined) report.source_time = sourceTime;
    if (rate !== undefined) report.rate = rate;
    if (replyTo !== undefined) report.reply_to = replyTo;
    if (output) report.output = output;
    return report;
  }
}

function isWithinDeadband(a: PinValue, b: PinValue, deadband: number): boolean {
  return typeof a === 'number' && typeof b === 'number' && Math.abs(a - b) < deadband;
}
