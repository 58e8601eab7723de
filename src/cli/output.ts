import pc from 'picocolors';
import type { Quality } from '../message/payloads.ts';

/** Colours on a terminal only, and never with NO_COLOR. picocolors by itself would colour what a CI job prints, too. */
export const colour = pc.createColors(
  'FORCE_COLOR' in process.env ||
    (process.stdout.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb'),
);

/** One line of JSON a row: what `--json` prints. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** To stderr: results stay clean for a pipe. */
export function printNote(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** An aligned table; a column as wide as its widest cell, colour codes not counted. The last column is not padded. */
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
  // The escape is written by its code so that no control character stands in the source.
  const esc = String.fromCharCode(27);
  return text.replaceAll(new RegExp(`${esc}\\[\\d+m`, 'g'), '').length;
}

/** `1 pin`, `2 pins`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** A pin's value as a person reads it. */
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

/** Time of day with milliseconds, local. */
export function showTime(unix: number): string {
  const date = new Date(unix * 1000);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** `3 s`, `12 min`, `5 h`, `2 d` ago. */
export function showAge(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, seconds).toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
