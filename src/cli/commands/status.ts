import { exitCodes } from '../exit.ts';
import { colour, printJson, printLine, table } from '../output.ts';
import { isOverruled, type PinList, pinColumns, qualityOf } from '../pin-list.ts';
import { gatherPins, type PinsOptions } from './pins.ts';

/** Held up for so long (s), something is wrong with an actor or the machine. */
const LATE_S = 0.5;

/** How many pins of a node are what. */
interface NodeSummary {
  readonly node: string;
  pins: number;
  good: number;
  uncertain: number;
  bad: number;
  silent: number;
  /** Outputs that are overridden, or kept by a safe state or a rule. */
  held: number;
  /** Longest time (s) its process was held up, within the last one to two minutes; where it says so. */
  readonly loop_delay?: number;
}

/** Says how the nodes are, and shows the pins that need a person. Fails when one is bad or silent. */
export async function status(options: PinsOptions): Promise<void> {
  const list = await gatherPins(options);
  const tallies = summarize(list);
  if (options.json) for (const one of tallies) printJson(one);
  else show(list, tallies);
  if (tallies.some(({ bad, silent }) => bad + silent > 0)) process.exitCode = exitCodes.failed;
}

function summarize(list: PinList): NodeSummary[] {
  const found = new Map<string, NodeSummary>();
  for (const [node, delay] of list.nodes) found.set(node, emptySummary(node, delay));
  for (const [, { node, report }] of list.sorted()) {
    const one = found.get(node) ?? emptySummary(node);
    found.set(node, one);
    one.pins++;
    // Processes of v1 do not tell a quality.
    one[report === undefined ? 'silent' : (qualityOf(report) ?? 'good')]++;
    if (isOverruled(report)) one.held++;
  }
  return [...found.values()];
}

function emptySummary(node: string, delay?: number): NodeSummary {
  const loop = delay === undefined ? {} : { loop_delay: delay };
  return { node, pins: 0, good: 0, uncertain: 0, bad: 0, silent: 0, held: 0, ...loop };
}

function show(list: PinList, tallies: readonly NodeSummary[]): void {
  const number = (count: number, paint: (text: string) => string) => (count > 0 ? paint(String(count)) : '0');
  const rows = tallies.map(({ node, pins, good, uncertain, bad, silent, held, loop_delay: delay }) => [
    node,
    String(pins),
    String(good),
    number(uncertain, colour.yellow),
    number(bad, colour.red),
    number(silent, colour.red),
    number(held, colour.yellow),
    delay === undefined ? '' : delay < LATE_S ? `${Math.round(1000 * delay)} ms` : colour.yellow(`${delay} s`),
  ]);
  printLine(table(['NODE', 'PINS', 'GOOD', 'UNCERTAIN', 'BAD', 'SILENT', 'HELD', 'DELAY'], rows));
  const troubled = list
    .sorted()
    .filter(
      ([, { report }]) =>
        !report || qualityOf(report) === 'bad' || qualityOf(report) === 'uncertain' || isOverruled(report),
    );
  if (troubled.length === 0) return;
  printLine(
    `\n${table(
      pinColumns,
      troubled.map(([name, row]) => list.cells(name, row)),
    )}`,
  );
}
