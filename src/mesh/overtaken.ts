import type { DurationMs, MonotonicMs } from '../clock/clock.ts';
import type { Envelope } from '../message/envelope.ts';
import { ioMessageOf, isReport } from '../message/payloads.ts';

/** Most pins remembered. */
const MAX_PINS = 20_000;
/** What is overtaken arrives within this time of what came after it (ms). */
const WINDOW_MS: DurationMs = 5000;
/** And is so many messages of its creator older at most: one forged high number must not silence a pin. */
const MOST_OLDER = 10_000;

interface Newest {
  readonly creator: string;
  readonly serial: number;
  readonly at: MonotonicMs;
}

/**
 * Finds reports that arrive after a newer one of their pin: where a shorter way opens, or a connection replaces another,
 * the old way may still bring something. A value that has been superseded must not be the last one heard.
 */
export class Overtaken {
  readonly #newest = new Map<string, Newest>();

  /** Notes a message. True: a newer report of the same pin was here before it. */
  is(envelope: Envelope, now: MonotonicMs): boolean {
    const report = ioMessageOf(envelope.payload);
    if (!report || !isReport(report)) return false;
    const { creator, serial } = numberOf(envelope.msg_id);
    const newest = this.#newest.get(report.pin_name);
    if (newest?.creator === creator && now - newest.at < WINDOW_MS) {
      const older = newest.serial - serial;
      if (older > 0 && older <= MOST_OLDER) return true;
    }
    if (newest || this.#newest.size < MAX_PINS) this.#newest.set(report.pin_name, { creator, serial, at: now });
    return false;
  }
}

function numberOf(id: string): { creator: string; serial: number } {
  const dot = id.lastIndexOf('.');
  return { creator: id.slice(0, dot), serial: Number(id.slice(dot + 1)) };
}
