import type { Outcome } from './scene.ts';

/** One line for each kind of fault: its number, and the median and worst times in ms. */
export function table(outcomes: readonly Outcome[]): string {
  const kinds = [...new Set(outcomes.map(({ fault }) => fault))].sort();
  const rows = kinds.map((kind) => {
    const own = outcomes.filter(({ fault }) => fault === kind);
    const lost = own.reduce((sum, one) => sum + one.lost, 0);
    return [
      kind,
      String(own.length),
      times(own.map(({ detectedMs }) => detectedMs)),
      times(own.map(({ safeMs }) => safeMs)),
      times(own.map(({ recoveredMs }) => recoveredMs)),
      String(lost),
    ];
  });
  const all = [['fault', 'times', 'detected in', 'safe in', 'recovered in', 'lost'], ...rows];
  const widths = [0, 1, 2, 3, 4, 5].map((at) => Math.max(...all.map((row) => row[at]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function times(all: readonly (number | undefined)[]): string {
  const found = all.flatMap((one) => one ?? []).sort((a, b) => a - b);
  const median = found[Math.floor(found.length / 2)];
  return median === undefined ? '-' : `${median} (worst ${found.at(-1)}) ms`;
}
