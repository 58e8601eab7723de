import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import type { Envelope } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';

/**
 * Remembers message ids so that a message is delivered once however many ways it comes. Memory is bounded: ids are kept
 * in two generations, and when the young one is full the old one is forgotten. Exact ids, not 'serials above the last':
 * one forged high serial would silence its creator for ever, and a message overtaken by the next would be lost.
 */
export class SeenMessageIds {
  readonly #generation: number;
  #young = new Map<string, string | undefined>();
  #old = new Map<string, string | undefined>();

  /** `generation`: ids in one generation; at least that many, at most twice as many are remembered. */
  constructor(generation = 32_768) {
    this.#generation = generation;
  }

  /** Notes an id and the node it came from. False: it was there already. */
  add(id: string, from?: string): boolean {
    if (this.#young.has(id) || this.#old.has(id)) return false;
    if (this.#young.size >= this.#generation) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(id, from);
    return true;
  }

  /** The node a message came from, as long as it is remembered: where its answer must go. */
  origin(id: string): string | undefined {
    return this.#young.get(id) ?? this.#old.get(id);
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }
}

/** Most pins remembered. */
const MAX_PINS = 20_000;
/** What is overtaken arrives within this time of what came after it (ms). */
const WINDOW_MS: DurationMs = 5000;
/** And is so many messages of its creator older at most: one forged high number must not silence a pin. */
const MAX_SERIAL_DISTANCE = 10_000;

interface Newest {
  readonly creator: string;
  readonly serial: number;
  readonly at: MonotonicMs;
}

/**
 * Finds reports that arrive after a newer one of their pin: where a shorter way opens, or a connection replaces another,
 * the old way may still bring something. A value that has been superseded must not be the last one heard.
 */
export class StaleReportFilter {
  readonly #newest = new Map<string, Newest>();

  /** Notes a message. True: a newer report of the same pin was here before it. */
  isStale(envelope: Envelope, now: MonotonicMs): boolean {
    const report = ioMessageOf(envelope.payload);
    if (!report || !isReport(report)) return false;
    const { creator, serial } = parseMessageId(envelope.msg_id);
    const newest = this.#newest.get(report.pin_name);
    if (newest?.creator === creator && now - newest.at < WINDOW_MS) {
      const older = newest.serial - serial;
      if (older > 0 && older <= MAX_SERIAL_DISTANCE) return true;
    }
    if (newest || this.#newest.size < MAX_PINS) this.#newest.set(report.pin_name, { creator, serial, at: now });
    return false;
  }
}

function parseMessageId(id: string): { creator: string; serial: number } {
  const dot = id.lastIndexOf('.');
  return { creator: id.slice(0, dot), serial: Number(id.slice(dot + 1)) };
}
