import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';
import type { Envelope } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
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

interface KnownNode {
  readonly envelope: Envelope;
  readonly message: NodeFacts;
  readonly heard: MonotonicMs;
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

  note(envelope: Envelope): void {
    const message = ioMessageOf(envelope.payload);
    if (message && isReport(message)) this.#noteReport(message.pin_name, envelope);
    if ('NodeMessage' in envelope.payload) this.#noteNode(envelope);
  }

  /** The envelopes that tell a newcomer all of it, nodes first. */
  *state(): Iterable<Envelope> {
    for (const { envelope } of this.#nodes.values()) yield envelope;
    yield* this.#reports.values();
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

  nodes(): { id: string; name: string; boot: string; pins: number; heardS: number }[] {
    const now = this.#clock.now();
    return [...this.#nodes.values()].map(({ message: { node: id, name, boot, pins }, heard }) => ({
      id,
      name,
      boot,
      pins: pins.length,
      heardS: (now - heard) / 1000,
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
      trend = new History(this.#historyMs);
      this.#trends.set(name, trend);
    }
    trend.note(this.#clock.unix(), bad ? undefined : val);
  }

  #noteNode(envelope: Envelope): void {
    const found = envelope.payload['NodeMessage'];
    const parsed = nodeMessageSchema.safeParse(found);
    if (!parsed.success) return;
    const message = parsed.data;
    if (message.event === 'leave') {
      this.#forget(message.node);
      return;
    }
    if (!this.#nodes.has(message.node) && this.#nodes.size >= MAX_NODES) return;
    this.#nodes.set(message.node, { envelope, message, heard: this.#clock.now() });
    for (const facts of message.pins) {
      if (!this.#facts.has(facts.name) && this.#facts.size >= MAX_PINS) break;
      this.#facts.set(facts.name, { node: message.node, facts });
    }
  }

  /** A node is gone: what its pins last said is no longer what they are. */
  #forget(node: string): void {
    this.#nodes.delete(node);
    for (const [name, known] of this.#facts) {
      if (known.node !== node) continue;
      this.#facts.delete(name);
      this.#reports.delete(name);
      this.#trends.get(name)?.note(this.#clock.unix(), undefined);
    }
  }
}
