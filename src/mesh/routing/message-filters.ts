import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { type Envelope, isRecord, type Payload } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';

/**
 * Remembers message ids, so that a message is delivered once however many ways it comes. Memory is bounded: ids are kept
 * in two generations, and the old generation is dropped when the young one is full. Ids are compared exactly. A rule such
 * as "serials above the last one" would let one forged high serial silence its creator, and would drop reordered messages.
 */
export class SeenMessageIds {
  readonly #generationSize: number;
  #young = new Map<string, string | undefined>();
  #old = new Map<string, string | undefined>();

  /** Remembers at least `generationSize` ids, and at most twice as many. */
  constructor(generationSize = 32_768) {
    this.#generationSize = generationSize;
  }

  /** Adds an id and the node it came from. Returns false when the id is known already. */
  add(id: string, from?: string): boolean {
    if (this.#young.has(id) || this.#old.has(id)) return false;
    if (this.#young.size >= this.#generationSize) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(id, from);
    return true;
  }

  /** The node a message came from, while it is remembered: its answer goes back there. */
  origin(id: string): string | undefined {
    return this.#young.get(id) ?? this.#old.get(id);
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }
}

/** Most pins remembered. */
const MAX_PINS = 20_000;
/** A stale report arrives within this time after the newer one (ms). */
const WINDOW_MS: DurationMs = 5000;
/** A stale report is at most this many messages older, so that one forged high serial cannot silence a pin. */
const MAX_SERIAL_DISTANCE = 10_000;

interface NewestReport {
  readonly creator: string;
  readonly serial: number;
  readonly at: MonotonicMs;
}

/**
 * Detects reports that arrive after a newer report of their pin. That happens where a shorter way opens or a connection is
 * replaced: the old way may still bring something. An outdated value must not be the last one delivered.
 */
export class StaleReportFilter {
  readonly #newest = new Map<string, NewestReport>();

  /** Notes a message. Returns true when a newer report of the same pin arrived before it. */
  isStale(envelope: Envelope, now: MonotonicMs): boolean {
    const report = ioMessageOf(envelope.payload);
    if (!report || !isReport(report)) return false;
    const { creator, serial } = parseMessageId(envelope.msg_id);
    const newest = this.#newest.get(report.pin_name);
    if (newest?.creator === creator && now - newest.at < WINDOW_MS) {
      const distance = newest.serial - serial;
      if (distance > 0 && distance <= MAX_SERIAL_DISTANCE) return true;
    }
    if (newest || this.#newest.size < MAX_PINS) this.#newest.set(report.pin_name, { creator, serial, at: now });
    return false;
  }
}

function parseMessageId(id: string): { creator: string; serial: number } {
  const dot = id.lastIndexOf('.');
  return { creator: id.slice(0, dot), serial: Number(id.slice(dot + 1)) };
}

/** True when a message commands a pin or a serial port. */
export function isCommand({ payload }: Envelope): boolean {
  return commandsPin(payload) || commandsPort(payload);
}

/** True when a payload commands a pin. It may have several subjects: a report beside a command does not make it harmless. */
export function commandsPin({ IoMessage: io }: Payload): boolean {
  return isRecord(io) && io['last_change'] === undefined;
}

/** True when a payload commands a serial port. */
export function commandsPort({ SerialPortMessage: serial }: Payload): boolean {
  return isRecord(serial) && serial['source_time'] === undefined;
}
