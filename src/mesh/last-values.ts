import type { Envelope } from '../message/envelope.ts';
import { ioMessageOf, isReport } from '../message/payloads.ts';

/** Most pins remembered. */
const MAX_PINS = 20_000;

export interface Kept {
  readonly envelope: Envelope;
  readonly text: string;
}

/** The last report of every pin of this process, for those who come late or missed something. */
export class LastValues {
  readonly #byPin = new Map<string, Kept>();

  /** Keeps a message if it is a report. */
  note(envelope: Envelope, text: () => string): void {
    const report = ioMessageOf(envelope.payload);
    if (!report || !isReport(report)) return;
    if (!this.#byPin.has(report.pin_name) && this.#byPin.size >= MAX_PINS) return;
    this.#byPin.set(report.pin_name, { envelope, text: text() });
  }

  values(): Iterable<Kept> {
    return this.#byPin.values();
  }
}
