import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';
import type { Envelope } from '../../message/envelope.ts';
import { type IoMessage, ioMessageOf, isReport } from '../../message/payloads.ts';
import {
  type NodeFacts,
  nodeMessageSchema,
  type PinFacts,
  type PinReport,
  type PinState,
  pinReportSchema,
} from '../api/schemas.ts';
import { History, type Trend } from './history.ts';

const MAX_PINS = 20_000;
const MAX_NODES = 1024;

/** A node or program that has not said for so long that it lives is gone. */
const SILENT_AFTER_MS: DurationMs = 15_000;
/** How long a node that is gone is shown with its pins: somebody has to see it. */
const GONE_KEPT_MS: DurationMs = 24 * 3_600_000;

interface KnownNode {
  readonly envelope: Envelope;
  readonly message: NodeFacts;
  readonly heard: MonotonicMs;
  /** What told that it is gone, and when. */
  gone?: { readonly envelope: Envelope; readonly at: MonotonicMs };
}

/** What is to be done about a message that was taken in. */
interface Consequences {
  /** Reports of pins that are not known any more: everybody is to be told. */
  readonly lost: readonly IoMessage[];
  /** Pins that are back and have not reported since: they are to be asked. */
  readonly ask: readonly string[];
}
const nothing: Consequences = { lost: [], ask: [] };

/** What a node says of itself, and how long ago it was heard and went (s). */
export interface HeardNode {
  readonly id: string;
  readonly name: string;
  readonly pins: number;
  readonly heardS: number;
  readonly goneS?: number;
}

/** What is known of every pin and node on the bus: whoever comes late reads it here. */
export class PinBook {
  readonly #clock: Clock;
  readonly #historyMs: DurationMs;
  readonly #facts = new Map<string, { readonly node: string; readonly facts: PinFacts }>();
  readonly #reports = new Map<string, Envelope>();
  readonly #trends = new Map<string, History>();
  readonly #nodes = new Map<string, KnownNode>();

  constructor(clock: Clock, historyMs: DurationMs) {
    this.#clock = clock;
    this.#historyMs = historyMs;
  }

  note(envelope: Envelope): Consequences {
    const message = ioMessageOf(envelope.payload);
    if (message && isReport(message)) this.#noteReport(message.pin_name, envelope);
    return 'NodeMessage' in envelope.payload ? this.#noteNode(envelope) : nothing;
  }

  /** The envelopes that tell a newcomer all of it, nodes first. */
  *state(): Iterable<Envelope> {
    for (const { envelope, gone } of this.#nodes.values()) {
      yield envelope;
      if (gone) yield gone.envelope;
    }
    yield* this.#reports.values();
  }

  /** Nodes other than `own` that have been silent for too long: a relayed one is missed by nobody else here. */
  silent(own: string): NodeFacts[] {
    const now = this.#clock.now();
    for (const [id, { gone }] of this.#nodes) if (gone && now - gone.at > GONE_KEPT_MS) this.#drop(id);
    return [...this.#nodes.values()].flatMap(({ message, heard, gone }) =>
      gone || message.node === own || now - heard <= SILENT_AFTER_MS ? [] : [message],
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
    return this.#trends.get(name)?.since(from) ?? { t: [], v: [] };
  }

  nodes(): HeardNode[] {
    const now = this.#clock.now();
    return [...this.#nodes.values()].map(({ message: { node: id, name, pins }, heard, gone }) => ({
      id,
      name,
      pins: pins.length,
      heardS: (now - heard) / 1000,
      ...(gone && { goneS: (now - gone.at) / 1000 }),
    }));
  }

  #noteReport(name: string, envelope: Envelope): void {
    if (!this.#reports.has(name) && this.#reports.size >= MAX_PINS) return;
    this.#reports.set(name, envelope);
    const report = ioMessageOf(envelope.payload);
    // Not through the schema: this is in the path of every edge.
    const val = typeof report?.val === 'boolean' || typeof report?.val === 'number' ? report.val : undefined;
    const bad = report?.['quality'] === 'bad';
    let trend = this.#trends.get(name);
    if (!trend) {
      if (this.#trends.size >= MAX_PINS) this.#forgetTrends();
      trend = new History(this.#historyMs);
      this.#trends.set(name, trend);
    }
    trend.note(this.#clock.unix(), bad ? undefined : val);
  }

  /** Pins come and go under new names: the trends of those that are gone make room. */
  #forgetTrends(): void {
    for (const name of this.#trends.keys()) if (!this.#reports.has(name)) this.#trends.delete(name);
  }

  #noteNode(envelope: Envelope): Consequences {
    const found = envelope.payload['NodeMessage'];
    const parsed = nodeMessageSchema.safeParse(found);
    if (!parsed.success) return nothing;
    const message = parsed.data;
    const { node, name, event, pins } = message;
    if (event === 'leave') return { lost: this.#leave(node, envelope), ask: [] };
    if (!this.#nodes.has(node) && this.#nodes.size >= MAX_NODES) return nothing;
    const known = this.#nodes.get(node);
    // Another node that was here all the time does not stand for the one that is gone, whatever both are called.
    const back = !known || known.gone !== undefined;
    const before = [...this.#nodes].filter(([, other]) => back && other.gone && other.message.name === name);
    this.#nodes.set(node, { envelope, message, heard: this.#clock.now() });
    for (const facts of pins) {
      if (!this.#facts.has(facts.name) && this.#facts.size >= MAX_PINS) break;
      this.#facts.set(facts.name, { node, facts });
    }
    // It is back, perhaps under a new id and with other pins.
    for (const [id] of before) if (id !== node) this.#drop(id);
    return { lost: [], ask: pins.flatMap((pin) => (this.#isLost(pin.name, name) ? [pin.name] : [])) };
  }

  #isLost(pin: string, node: string): boolean {
    const report = ioMessageOf(this.#reports.get(pin)?.payload ?? {});
    return report?.['quality'] === 'bad' && report['reason'] === goneReason(node);
  }

  /** A node is gone: what its pins last said is no longer what they are. */
  #leave(id: string, envelope: Envelope): IoMessage[] {
    const node = this.#nodes.get(id);
    if (!node || node.gone) return [];
    const { name } = node.message;
    const own = [...this.#facts].filter(([, known]) => known.node === id);
    // Nothing is lost of one that had no pins, or is back already: its new life has taken them over.
    if (own.length === 0) {
      this.#drop(id);
      return [];
    }
    node.gone = { envelope, at: this.#clock.now() };
    return own.flatMap(([pin]) => {
      const report = ioMessageOf(this.#reports.get(pin)?.payload ?? {});
      if (!report) return [];
      const { reply_to: _answers, ...last } = report;
      return { ...last, pin_name: pin, quality: 'bad', reason: goneReason(name), quality_since: this.#clock.unix() };
    });
  }

  #drop(id: string): void {
    this.#nodes.delete(id);
    for (const [pin, { node }] of this.#facts) {
      if (node !== id) continue;
      this.#facts.delete(pin);
      this.#reports.delete(pin);
      this.#trends.get(pin)?.note(this.#clock.unix(), undefined);
    }
  }
}

function goneReason(node: string): string {
  return `${node} is gone`;
}
