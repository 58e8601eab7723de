import pc from 'picocolors';
import type { Quality } from '../message/payloads.ts';

/** Colours only on a terminal and without NO_COLOR. The default of picocolors colours the output of a CI job, too. */
export const colour = pc.createColors(
  'FORCE_COLOR' in process.env ||
    (process.stdout.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb'),
);

/** Prints a row of `--json`: one JSON object a line. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints to stderr, so that a pipe gets results only. */
export function printNote(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Aligns a table. A column is as wide as its widest cell, without colour codes; the last column is not padded. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => visibleLength(row[column] ?? ''))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        column === cells.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - visibleLength(cell)),
      )
      .join('  ')
      .trimEnd();
  return [colour.dim(line(head)), ...rows.map(line)].join('\n');
}

function visibleLength(text: string): number {
  // Written as a code, so that the source has no control character.
  const esc = String.fromCharCode(27);
  return text.replaceAll(new RegExp(`${esc}\\[\\d+m`, 'g'), '').length;
}

/** Writes `1 pin` or `2 pins`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** Writes a pin's value: `on`, `off`, `21.5 °C`, `"text"`. */
export function showValue(val: unknown, uom = ''): string {
  const unit = uom === '' ? '' : ` ${uom}`;
  if (val === true) return colour.green('on');
  if (val === false) return 'off';
  if (val === null || val === undefined) return colour.dim('–');
  return (typeof val === 'string' ? JSON.stringify(val) : String(val)) + unit;
}

export function showQuality(quality: Quality | undefined): string {
  if (quality === undefined) return colour.dim('?');
  return quality === 'good' ? colour.green(quality) : quality === 'bad' ? colour.red(quality) : colour.yellow(quality);
}

/** Writes the local time of day with milliseconds. */
export function showTime(unix: number): string {
  const date = new Date(unix * 1000);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** Writes an age: `3 s`, `12 min`, `5 h`, `2 d`. */
export function showAge(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, seconds).toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
