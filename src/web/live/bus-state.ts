import type { Clock, DurationMs, MonotonicMs, UnixSeconds } from '../../clock/clock.ts';
import type { Envelope } from '../../message/envelope.ts';
import { type IoMessage, ioMessageOf, isReport, type PinValue } from '../../message/payloads.ts';
import {
  type NodeFacts,
  nodeMessageSchema,
  type PinFacts,
  type PinReport,
  type PinState,
  pinReportSchema,
} from '../api/schemas.ts';

const MAX_PINS = 20_000;
const MAX_NODES = 1024;

/** A node or program that has not said for so long that it lives is gone. */
const SILENCE_TIMEOUT_MS: DurationMs = 15_000;
/** How long a node that is gone is shown with its pins: somebody has to see it. */
const LEFT_NODE_KEPT_MS: DurationMs = 24 * 3_600_000;

interface KnownNode {
  readonly envelope: Envelope;
  readonly message: NodeFacts;
  readonly heardAt: MonotonicMs;
  /** What told that it is gone, and when. */
  left?: { readonly envelope: Envelope; readonly at: MonotonicMs };
}

/** What is to be done about a message that was taken in. */
interface Effects {
  /** Reports of pins that are not known any more: everybody is to be told. */
  readonly lostReports: readonly IoMessage[];
  /** Pins that are back and have not reported since: they are to be asked. */
  readonly pinsToQuery: readonly string[];
}
const noEffects: Effects = { lostReports: [], pinsToQuery: [] };

/** What a node says of itself, and how long ago it was heard and went (s). */
export interface HeardNode {
  readonly id: string;
  readonly name: string;
  readonly pins: number;
  readonly heardS: number;
  readonly leftS?: number;
}

/** What is known of every pin and node on the bus: whoever comes late reads it here. */
export class BusState {
  readonly #clock: Clock;
  readonly #historyMs: DurationMs;
  readonly #facts = new Map<string, { readonly node: string; readonly facts: PinFacts }>();
  readonly #reports = new Map<string, Envelope>();
  readonly #histories = new Map<string, ValueHistory>();
  readonly #nodes = new Map<string, KnownNode>();

  constructor(clock: Clock, historyMs: DurationMs) {
    this.#clock = clock;
    this.#historyMs = historyMs;
  }

  record(envelope: Envelope): Effects {
    const message = ioMessageOf(envelope.payload);
    if (message && isReport(message)) this.#recordReport(message.pin_name, envelope);
    return 'NodeMessage' in envelope.payload ? this.#recordNode(envelope) : noEffects;
  }

  /** The envelopes that tell a newcomer all of it, nodes first. */
  *snapshot(): Iterable<Envelope> {
    for (const { envelope, left } of this.#nodes.values()) {
      yield envelope;
      if (left) yield left.envelope;
    }
    yield* this.#reports.values();
  }

  /** Nodes other than `own` that have been silent for too long: a relayed one is missed by nobody else here. */
  expireSilent(own: string): NodeFacts[] {
    const now = this.#clock.now();
    for (const [id, { left }] of this.#nodes) if (left && now - left.at > LEFT_NODE_KEPT_MS) this.#removeNode(id);
    return [...this.#nodes.values()].flatMap(({ message, heardAt, left }) =>
      left || message.node === own || now - heardAt <= SILENCE_TIMEOUT_MS ? [] : [message],
    );
  }

  /** All pins by name; one that has not reported yet is there without a value. */
  pins(): PinState[] {
    const names = new Set([...this.#facts.keys(), ...this.#reports.keys()]);
    return [...names].sort().flatMap((name) => this.pin(name) ?? []);
  }

  /** `report`: to be shown in place of the last one. */
  pin(name: string, report: Envelope | undefined = this.#reports.get(name)): PinState | undefined {
    const known = this.#facts.get(name);
    if (!known && !report) return undefined;
    const parsed = report && pinReportSchema.safeParse(report.payload['IoMessage']);
    const reason = report ? 'its report makes no sense' : 'it has not reported yet';
    const found = parsed?.success ? parsed.data : { val: null, quality: 'bad' as const, reason };
    const node = known && this.#nodes.get(known.node)?.message.name;
    // `name` says it; and whose command it answered is nobody else's business.
    const { pin_name: _name, reply_to: _answers, ...rest }: PinReport = found;
    return { ...known?.facts, ...(node !== undefined && { node }), ...rest, name };
  }

  /** How a pin changed since `from` (unix seconds). */
  trend(name: string, from: number): Trend {
    return this.#histories.get(name)?.since(from) ?? { t: [], v: [] };
  }

  nodes(): HeardNode[] {
    const now = this.#clock.now();
    return [...this.#nodes.values()].map(({ message: { node: id, name, pins }, heardAt, left }) => ({
      id,
      name,
      pins: pins.length,
      heardS: (now - heardAt) / 1000,
      ...(left && { leftS: (now - left.at) / 1000 }),
    }));
  }

  #recordReport(name: string, envelope: Envelope): void {
    if (!this.#reports.has(name) && this.#reports.size >= MAX_PINS) return;
    this.#reports.set(name, envelope);
    const report = ioMessageOf(envelope.payload);
    // Not through the schema: this is in the path of every edge.
    const val = typeof report?.val === 'boolean' || typeof report?.val === 'number' ? report.val : undefined;
    const bad = report?.['quality'] === 'bad';
    let trend = this.#histories.get(name);
    if (!trend) {
      if (this.#histories.size >= MAX_PINS) this.#removeStaleTrends();
      trend = new ValueHistory(this.#historyMs);
      this.#histories.set(name, trend);
    }
    trend.record(this.#clock.unix(), bad ? undefined : val);
  }

  /** Pins come and go under new names: the trends of those that are gone make room. */
  #removeStaleTrends(): void {
    for (const name of this.#histories.keys()) if (!this.#reports.has(name)) this.#histories.delete(name);
  }

  #recordNode(envelope: Envelope): Effects {
    const found = envelope.payload['NodeMessage'];
    const parsed = nodeMessageSchema.safeParse(found);
    if (!parsed.success) return noEffects;
    const message = parsed.data;
    const { node, name, event, pins } = message;
    if (event === 'leave') return { lostReports: this.#nodeLeft(node, envelope), pinsToQuery: [] };
    if (!this.#nodes.has(node) && this.#nodes.size >= MAX_NODES) return noEffects;
    const known = this.#nodes.get(node);
    // Another node that was here all the time does not stand for the one that is gone, whatever both are called.
    const back = !known || known.left !== undefined;
    const before = [...this.#nodes].filter(([, other]) => back && other.left && other.message.name === name);
    this.#nodes.set(node, { envelope, message, heardAt: this.#clock.now() });
    for (const facts of pins) {
      if (!this.#facts.has(facts.name) && this.#facts.size >= MAX_PINS) break;
      this.#facts.set(facts.name, { node, facts });
    }
    // It is back, perhaps under a new id and with other pins.
    for (const [id] of before) if (id !== node) this.#removeNode(id);
    return {
      lostReports: [],
      pinsToQuery: pins.flatMap((pin) => (this.#isMarkedGone(pin.name, name) ? [pin.name] : [])),
    };
  }

  #isMarkedGone(pin: string, node: string): boolean {
    const report = ioMessageOf(this.#reports.get(pin)?.payload ?? {});
    return report?.['quality'] === 'bad' && report['reason'] === leftReason(node);
  }

  /** A node is gone: what its pins last said is no longer what they are. */
  #nodeLeft(id: string, envelope: Envelope): IoMessage[] {
    const node = this.#nodes.get(id);
    if (!node || node.left) return [];
    const { name } = node.message;
    const own = [...this.#facts].filter(([, known]) => known.node === id);
    // Nothing is lost of one that had no pins, or is back already: its new life has taken them over.
    if (own.length === 0) {
      this.#removeNode(id);
      return [];
    }
    node.left = { envelope, at: this.#clock.now() };
    return own.flatMap(([pin]) => {
      const report = ioMessageOf(this.#reports.get(pin)?.payload ?? {});
      if (!report) return [];
      const { reply_to: _answers, ...last } = report;
      return { ...last, pin_name: pin, quality: 'bad', reason: leftReason(name), quality_since: this.#clock.unix() };
    });
  }

  #removeNode(id: string): void {
    this.#nodes.delete(id);
    for (const [pin, { node }] of this.#facts) {
      if (node !== id) continue;
      this.#facts.delete(pin);
      this.#reports.delete(pin);
      this.#histories.get(pin)?.record(this.#clock.unix(), undefined);
    }
  }
}

function leftReason(node: string): string {
  return `${node} is gone`;
}

/** Most changes of one pin that are kept: 32 kB. */
export const MAX_POINTS = 2000;
const INITIAL_CAPACITY = 32;

/** Times (unix seconds) and values from then on; null: nobody knew. */
export interface Trend {
  readonly t: number[];
  readonly v: (number | null)[];
}

/** How one pin's value changed, in a ring: the oldest goes when it is full or too old. */
export class ValueHistory {
  readonly #maxAgeMs: DurationMs;
  #times = new Float64Array(INITIAL_CAPACITY);
  #values = new Float64Array(INITIAL_CAPACITY);
  #first = 0;
  #count = 0;

  constructor(keepMs: DurationMs) {
    this.#maxAgeMs = keepMs;
  }

  /** Notes a value, or that it is not known (undefined); the same as before is no change. Text has no trend. */
  record(at: UnixSeconds, val: PinValue | undefined): void {
    const value = typeof val === 'boolean' ? Number(val) : typeof val === 'number' ? val : Number.NaN;
    if (Object.is(value, this.#values[this.#index(this.#count - 1)]) && this.#count > 0) return;
    if (this.#count === 0 && Number.isNaN(value)) return;
    if (this.#count === this.#times.length) this.#grow();
    const end = this.#index(this.#count);
    this.#times[end] = at;
    this.#values[end] = value;
    this.#count++;
    // The one before the first within reach still says what was at its beginning.
    while (this.#count > 1 && (this.#times[this.#index(1)] ?? at) < at - this.#maxAgeMs / 1000) this.#dropOldest();
  }

  /** What there is since `from` (unix seconds), beginning with the value that stood then. */
  since(from: UnixSeconds): Trend {
    const trend: Trend = { t: [], v: [] };
    for (let at = 0; at < this.#count; at++) {
      const next = at + 1 < this.#count ? this.#times[this.#index(at + 1)] : undefined;
      if (next !== undefined && next < from) continue;
      const value = this.#values[this.#index(at)] ?? Number.NaN;
      trend.t.push(Math.max(from, this.#times[this.#index(at)] ?? 0));
      trend.v.push(Number.isNaN(value) ? null : value);
    }
    return trend;
  }

  #index(at: number): number {
    return (this.#first + at) % this.#times.length;
  }

  #dropOldest(): void {
    this.#first = this.#index(1);
    this.#count--;
  }

  #grow(): void {
    if (this.#count >= MAX_POINTS) {
      this.#dropOldest();
      return;
    }
    const size = Math.min(MAX_POINTS, this.#times.length * 2);
    const [times, values] = [new Float64Array(size), new Float64Array(size)];
    for (let at = 0; at < this.#count; at++) {
      times[at] = this.#times[this.#index(at)] ?? 0;
      values[at] = this.#values[this.#index(at)] ?? Number.NaN;
    }
    this.#times = times;
    this.#values = values;
    this.#first = 0;
  }
}
