import { computed, type Signal, signal } from '@preact/signals';
import type { PinFacts } from '../../api/schemas.ts';
import { Series } from './series.ts';

/** What the page knows of a pin. */
export interface Pin {
  readonly name: string;
  readonly facts: PinFacts;
  /** Name of its node; '' when it has not introduced itself. */
  readonly node: string;
  /** Undefined: it has not reported yet. */
  readonly report: Report | undefined;
  /** Its node is gone: the value is what it last was. */
  readonly gone: boolean;
}

export type Report = Readonly<Record<string, unknown>>;

/** What became of the last command this page sent. */
export type Command =
  | { readonly state: 'asked'; readonly val: unknown }
  | { readonly state: 'confirmed'; readonly val: unknown }
  | { readonly state: 'failed'; readonly val: unknown; readonly message: string };

/** How many pins there are: what depends on the names is told of a new one by it. */
const count = signal(0);
/** Names of all pins, sorted. */
export const pinNames = computed<readonly string[]>(() =>
  count.value === 0 ? [] : [...pins.keys()].sort((a, b) => byName.compare(a, b)),
);
const byName = new Intl.Collator(undefined, { numeric: true });
const pins = new Map<string, Signal<Pin>>();
const commands = new Map<string, Signal<Command | undefined>>();
const seriesOf = new Map<string, Series>();

export function pinSignal(name: string): Signal<Pin> {
  const known = pins.get(name);
  if (known) return known;
  const made = signal<Pin>({ name, facts: { name }, node: '', report: undefined, gone: false });
  pins.set(name, made);
  count.value = pins.size;
  return made;
}

export function allPins(): Pin[] {
  return pinNames.value.map((name) => pinSignal(name).value);
}

let listed: readonly Pin[] = [];

/** All pins, as they were when what they are last changed: a list need not be drawn anew for every value. */
export const pinList = computed<readonly Pin[]>(() => {
  const pins = allPins();
  const same = pins.length === listed.length && pins.every((pin, at) => isSame(pin, listed[at]));
  if (!same) listed = pins;
  return listed;
});

function isSame(a: Pin, b: Pin | undefined): boolean {
  return a.name === b?.name && a.facts === b.facts && a.node === b.node;
}

export function commandSignal(name: string): Signal<Command | undefined> {
  const known = commands.get(name) ?? signal<Command | undefined>(undefined);
  commands.set(name, known);
  return known;
}

/** How a pin changed, as long as the page or the agent remembers. */
export function series(name: string): Series {
  const known = seriesOf.get(name) ?? new Series();
  seriesOf.set(name, known);
  return known;
}

export type QualityShown = 'good' | 'uncertain' | 'bad' | 'unknown';

/** A pin of a node that is gone is bad, whatever it last said. */
export function qualityOf({ report, gone }: Pin): QualityShown {
  if (gone || report === undefined) return 'bad';
  const { quality } = report;
  return quality === 'good' || quality === 'uncertain' || quality === 'bad' ? quality : 'unknown';
}

export function reasonOf({ report, gone, node }: Pin): string {
  if (gone) return `${node} is gone`;
  if (report === undefined) return 'it has not reported yet';
  return typeof report['reason'] === 'string' ? report['reason'] : '';
}

/** What a pin belongs to: its device (`meter` of `meter.power`), else its port; with the node where there are several. */
export function groupOf({ name, facts, node }: Pin, severalNodes: boolean): string {
  const dot = name.indexOf('.');
  const own = dot > 0 ? name.slice(0, dot) : (facts.port ?? 'others');
  return severalNodes ? `${node === '' ? 'elsewhere' : node} / ${own}` : own;
}
