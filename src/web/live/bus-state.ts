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

/** A node without a message for this long has left. */
const SILENCE_TIMEOUT_MS: DurationMs = 15_000;
/** Time that a node that has left stays listed with its pins, so that a person notices. */
const LEFT_NODE_KEPT_MS: DurationMs = 24 * 3_600_000;

interface KnownNode {
  readonly envelope: Envelope;
  readonly message: NodeFacts;
  readonly lastMessageAt: MonotonicMs;
  /** The leave message and its time; `undefined` while the node is up. */
  left?: { readonly envelope: Envelope; readonly at: MonotonicMs };
}

/** Work for the caller after a message was recorded. */
interface Effects {
  /** Reports of quality bad to broadcast, for the pins of a node that has left. */
  readonly lostReports: readonly IoMessage[];
  /** Pins to query: their node is back, but they have not reported since. */
  readonly pinsToQuery: readonly string[];
}
const noEffects: Effects = { lostReports: [], pinsToQuery: [] };

/** A node, and the seconds since its last message and since it left. */
export interface NodeSummary {
  readonly id: string;
  readonly name: string;
  readonly pins: number;
  readonly silentS: number;
  readonly leftS?: number;
}

/** The last known state of every pin and node on the bus, for clients that connect later. */
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

  /** The envelopes that bring a new client up to date, nodes first. */
  *snapshot(): Iterable<Envelope> {
    for (const { envelope, left } of this.#nodes.values()) {
      yield envelope;
      if (left) yield left.envelope;
    }
    yield* this.#reports.values();
  }

  /** Returns nodes other than `own` that have timed out. No failure detector of the mesh watches a relayed node. */
  expireSilent(own: string): NodeFacts[] {
    const now = this.#clock.now();
    for (const [id, { left }] of this.#nodes) if (left && now - left.at > LEFT_NODE_KEPT_MS) this.#removeNode(id);
    return [...this.#nodes.values()].flatMap(({ message, lastMessageAt, left }) =>
      left || message.node === own || now - lastMessageAt <= SILENCE_TIMEOUT_MS ? [] : [message],
    );
  }

  /** Returns all pins sorted by name. A pin without a report has no value and quality bad. */
  pins(): PinState[] {
    const names = new Set([...this.#facts.keys(), ...this.#reports.keys()]);
    return [...names].sort().flatMap((name) => this.pin(name) ?? []);
  }

  /** Returns a pin with its last report, or with `report` in place of it; `undefined` for an unknown pin. */
  pin(name: string, report: Envelope | undefined = this.#reports.get(name)): PinState | undefined {
    const known = this.#facts.get(name);
    if (!known && !report) return undefined;
    const parsed = report && pinReportSchema.safeParse(report.payload['IoMessage']);
    const reason = report ? 'its report makes no sense' : 'it has not reported yet';
    const found = parsed?.success ? parsed.data : { val: null, quality: 'bad' as const, reason };
    const node = known && this.#nodes.get(known.node)?.message.name;
    // `name` replaces pin_name; reply_to concerns the sender of the command only.
    const { pin_name: _name, reply_to: _answers, ...rest }: PinReport = found;
    return { ...known?.facts, ...(node !== undefined && { node }), ...rest, name };
  }

  /** Returns the values of a pin since `from` (unix seconds). */
  trend(name: string, from: number): Trend {
    return this.#histories.get(name)?.since(from) ?? { t: [], v: [] };
  }

  nodes(): NodeSummary[] {
    const now = this.#clock.now();
    return [...this.#nodes.values()].map(({ message: { node: id, name, pins }, lastMessageAt, left }) => ({
      id,
      name,
      pins: pins.length,
      silentS: (now - lastMessageAt) / 1000,
      ...(left && { leftS: (now - left.at) / 1000 }),
    }));
  }

  #recordReport(name: string, envelope: Envelope): void {
    if (!this.#reports.has(name) && this.#reports.size >= MAX_PINS) return;
    this.#reports.set(name, envelope);
    const report = ioMessageOf(envelope.payload);
    // Not validated by the schema, for speed: every edge passes here.
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

  /** Makes room when pins come and go under new names: removes the histories of pins without a report. */
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
    // Only a node that appears now replaces one of the same name that has left.
    const back = !known || known.left !== undefined;
    const before = [...this.#nodes].filter(([, other]) => back && other.left && other.message.name === name);
    this.#nodes.set(node, { envelope, message, lastMessageAt: this.#clock.now() });
    for (const facts of pins) {
      if (!this.#facts.has(facts.name) && this.#facts.size >= MAX_PINS) break;
      this.#facts.set(facts.name, { node, facts });
    }
    // After a restart a node has a new id, and may have other pins.
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

  /** Records that a node has left. Returns reports of quality bad for its pins. */
  #nodeLeft(id: string, envelope: Envelope): IoMessage[] {
    const node = this.#nodes.get(id);
    if (!node || node.left) return [];
    const { name } = node.message;
    const own = [...this.#facts].filter(([, known]) => known.node === id);
    // A node without pins is removed at once: it had none, or its restarted process has taken them over.
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

/** Limit of changes kept for one pin (32 kB). */
export const MAX_POINTS = 2000;
const INITIAL_CAPACITY = 32;

/** Times (unix seconds) and the value from each on; null when it was unknown. */
export interface Trend {
  readonly t: number[];
  readonly v: (number | null)[];
}

/** The value changes of one pin in a ring buffer, limited by number and age. */
export class ValueHistory {
  readonly #maxAgeMs: DurationMs;
  #times = new Float64Array(INITIAL_CAPACITY);
  #values = new Float64Array(INITIAL_CAPACITY);
  #first = 0;
  #count = 0;

  constructor(keepMs: DurationMs) {
    this.#maxAgeMs = keepMs;
  }

  /** Records a change of the value; `undefined` when it is unknown. Text is recorded as unknown. */
  record(at: UnixSeconds, val: PinValue | undefined): void {
    const value = typeof val === 'boolean' ? Number(val) : typeof val === 'number' ? val : Number.NaN;
    if (Object.is(value, this.#values[this.#index(this.#count - 1)]) && this.#count > 0) return;
    if (this.#count === 0 && Number.isNaN(value)) return;
    if (this.#count === this.#times.length) this.#grow();
    const end = this.#index(this.#count);
    this.#times[end] = at;
    this.#values[end] = value;
    this.#count++;
    // Keeps one change older than the age limit: it holds the value at the beginning of the period.
    while (this.#count > 1 && (this.#times[this.#index(1)] ?? at) < at - this.#maxAgeMs / 1000) this.#dropOldest();
  }

  /** Returns the changes since `from` (unix seconds), beginning with the value at that time. */
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
