import type { CliCommand } from '../command-tree.ts';
import { exitCodes } from '../exit.ts';
import type { ClientOptions } from '../options.ts';
import { colour, printJson, printLine, table } from '../output.ts';
import type { NodeSummary } from '../pin-list.ts';

/** A process whose event loop was blocked for longer (s) has a problem: an actor, or the machine. */
const LATE_S = 0.5;

export function addStatus(cli: CliCommand): void {
  cli
    .command('status')
    .description('show the state of the nodes and their pins; fails when a pin is bad')
    .clientOptions()
    .examples('dcs-io status', 'dcs-io status --json')
    .action(status);
}

/** Summarizes the nodes and lists the pins that need attention. Fails when a pin is bad or silent. */
async function status(options: ClientOptions): Promise<void> {
  const { gatherPins, pinColumns } = await import('../pin-list.ts');
  const list = await gatherPins(options);
  const summaries = list.summaries();
  if (options.json) for (const one of summaries) printJson(one);
  else {
    printLine(nodeTable(summaries));
    const cells = list.troubled().map(([name, row]) => list.cells(name, row));
    if (cells.length > 0) printLine(`\n${table(pinColumns, cells)}`);
  }
  if (summaries.some(({ bad, silent }) => bad + silent > 0)) process.exitCode = exitCodes.failed;
}

function nodeTable(summaries: readonly NodeSummary[]): string {
  const number = (count: number, paint: (text: string) => string) => (count > 0 ? paint(String(count)) : '0');
  const rows = summaries.map(({ node, pins, good, uncertain, bad, silent, held, loop_delay: delay }) => [
    node,
    String(pins),
    String(good),
    number(uncertain, colour.yellow),
    number(bad, colour.red),
    number(silent, colour.red),
    number(held, colour.yellow),
    delay === undefined ? '' : delay < LATE_S ? `${Math.round(1000 * delay)} ms` : colour.yellow(`${delay} s`),
  ]);
  return table(['NODE', 'PINS', 'GOOD', 'UNCERTAIN', 'BAD', 'SILENT', 'HELD', 'DELAY'], rows);
}
