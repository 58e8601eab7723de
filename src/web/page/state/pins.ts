import { computed, type Signal, signal } from '@preact/signals';
import type { PinFacts } from '../../api/schemas.ts';

/** A pin as the page knows it. */
export interface Pin {
  readonly name: string;
  readonly facts: PinFacts;
  /** Name of its node; '' when no node lists it. */
  readonly node: string;
  /** `undefined` until the first report. */
  readonly report: Report | undefined;
  /** Whether its node has left: the value is the last known one. */
  readonly nodeLeft: boolean;
}

export type Report = Readonly<Record<string, unknown>>;

/** The result of the last command of this page. */
export type Command =
  | { readonly state: 'asked'; readonly val: unknown }
  | { readonly state: 'confirmed'; readonly val: unknown }
  | { readonly state: 'failed'; readonly val: unknown; readonly message: string };

/** Number of pins: a change of it makes everything that depends on the names recompute. */
const pinCount = signal(0);
/** Names of all pins, sorted. */
export const pinNames = computed<readonly string[]>(() =>
  pinCount.value === 0 ? [] : [...pins.keys()].sort((a, b) => byName.compare(a, b)),
);
const byName = new Intl.Collator(undefined, { numeric: true });
const pins = new Map<string, Signal<Pin>>();
const commands = new Map<string, Signal<Command | undefined>>();
const seriesByPin = new Map<string, Series>();

export function pinSignal(name: string): Signal<Pin> {
  const known = pins.get(name);
  if (known) return known;
  const made = signal<Pin>({ name, facts: { name }, node: '', report: undefined, nodeLeft: false });
  pins.set(name, made);
  pinCount.value = pins.size;
  return made;
}

export function allPins(): Pin[] {
  return pinNames.value.map((name) => pinSignal(name).value);
}

let lastPinList: readonly Pin[] = [];

/** All pins, updated when their properties change, not with every value: the list need not render for each report. */
export const pinList = computed<readonly Pin[]>(() => {
  const pins = allPins();
  const same = pins.length === lastPinList.length && pins.every((pin, at) => isSamePin(pin, lastPinList[at]));
  if (!same) lastPinList = pins;
  return lastPinList;
});

function isSamePin(a: Pin, b: Pin | undefined): boolean {
  return a.name === b?.name && a.facts === b.facts && a.node === b.node;
}

export function commandSignal(name: string): Signal<Command | undefined> {
  const known = commands.get(name) ?? signal<Command | undefined>(undefined);
  commands.set(name, known);
  return known;
}

/** Returns the past values of a pin. */
export function series(name: string): Series {
  const known = seriesByPin.get(name) ?? new Series();
  seriesByPin.set(name, known);
  return known;
}

type ShownQuality = 'good' | 'uncertain' | 'bad' | 'unknown';

/** Returns the quality of a pin. A pin of a node that has left is bad, whatever its last report says. */
export function qualityOf({ report, nodeLeft }: Pin): ShownQuality {
  if (nodeLeft || report === undefined) return 'bad';
  const { quality } = report;
  return quality === 'good' || quality === 'uncertain' || quality === 'bad' ? quality : 'unknown';
}

export function reasonOf({ report, nodeLeft, node }: Pin): string {
  if (nodeLeft) return `${node} is gone`;
  if (report === undefined) return 'it has not reported yet';
  return typeof report['reason'] === 'string' ? report['reason'] : '';
}

/** Returns the group of a pin: its device (`meter` of `meter.power`), else its port; after the node if there are several. */
export function groupOf({ name, facts, node }: Pin, severalNodes: boolean): string {
  const dot = name.indexOf('.');
  const own = dot > 0 ? name.slice(0, dot) : (facts.port ?? 'others');
  return severalNodes ? `${node === '' ? 'elsewhere' : node} / ${own}` : own;
}

/** Why an output does not follow its commands; shown everywhere with the output. */
export interface OutputRestriction {
  readonly kind: 'override' | 'safe' | 'rule';
  readonly why: string;
  /** End of an override (unix seconds). */
  readonly until?: number;
}

/** Returns the restrictions in the report of an output: at most one of each kind, an override first. */
export function restrictionsOf({ report }: Pick<Pin, 'report'>): OutputRestriction[] {
  const output = report?.['output'];
  if (!isRecord(output)) return [];
  const { by, why, override } = output;
  const reason = typeof why === 'string' ? why : '';
  const holds: OutputRestriction[] = [];
  if (isRecord(override)) {
    const until = override['until'];
    const set = `to ${showLevel(override['val'])} by ${senderOf(override)}`;
    holds.push({ kind: 'override', why: set, ...(typeof until === 'number' && { until }) });
  } else if (by === 'override') holds.push({ kind: 'override', why: reason });
  if (by === 'safe' || by === 'rule') holds.push({ kind: by, why: reason });
  return holds;
}

export function isRestricted(pin: Pick<Pin, 'report'>, kind: OutputRestriction['kind']): boolean {
  return restrictionsOf(pin).some((hold) => hold.kind === kind);
}

/** Returns the desired value of an output; `undefined` when there is none. */
export function desiredValueOf({ report }: Pin): unknown {
  const output = report?.['output'];
  return isRecord(output) ? output['desired'] : undefined;
}

/** Returns whether an output supports overrides: then its reports have the key `output`. */
export function canOverride({ report, facts }: Pin): boolean {
  return facts.direction === 'out' && isRecord(report?.['output']);
}

/** Describes the last command of an output and its state. */
export function commandOf({ report }: Pin): string | undefined {
  const output = report?.['output'];
  const command = isRecord(output) ? output['command'] : undefined;
  if (!isRecord(command)) return undefined;
  return `${showLevel(command['val'])} by ${senderOf(command)}, ${String(command['state'])}`;
}

function senderOf({ node, actor }: Record<string, unknown>): string {
  return actor === undefined ? String(node) : `${String(actor)}@${String(node)}`;
}

function showLevel(val: unknown): string {
  return val === true ? 'on' : val === false ? 'off' : String(val);
}

function isRecord(found: unknown): found is Record<string, unknown> {
  return typeof found === 'object' && found !== null;
}

const MAX_POINTS = 4000;

/** Times (unix seconds) and the value from each on; null when it was unknown. */
class Series {
  t: number[] = [];
  v: (number | null)[] = [];

  /** Puts the history of the agent before the values that arrived meanwhile. */
  fill(t: readonly number[], v: readonly (number | null)[]): void {
    const last = t.at(-1) ?? 0;
    const from = this.t.findIndex((time) => time > last);
    this.t = [...t, ...(from < 0 ? [] : this.t.slice(from))];
    this.v = [...v, ...(from < 0 ? [] : this.v.slice(from))];
  }

  push(time: number, value: number | null): void {
    if (this.v.length > 0 && this.v.at(-1) === value) return;
    this.t.push(Math.max(time, this.t.at(-1) ?? 0));
    this.v.push(value);
    if (this.t.length <= MAX_POINTS) return;
    this.t = this.t.slice(MAX_POINTS / 4);
    this.v = this.v.slice(MAX_POINTS / 4);
  }

  /** Returns the values between `from` and `to`, with the values at both ends. */
  window(from: number, to: number): { t: number[]; v: (number | null)[] } {
    let first = 0;
    while (first + 1 < this.t.length && (this.t[first + 1] ?? to) <= from) first++;
    const t = this.t.slice(first);
    const v = this.v.slice(first);
    if (t[0] !== undefined && t[0] < from) t[0] = from;
    if (t.length > 0) {
      t.push(Math.max(to, t.at(-1) ?? to));
      v.push(v.at(-1) ?? null);
    }
    return { t, v };
  }
}
