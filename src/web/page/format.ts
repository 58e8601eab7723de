import type { Pin } from './state/pins.ts';

/** Formats the value of a pin for people, without its unit. */
export function showValue({ report }: Pick<Pin, 'report'>): string {
  const val = report?.['val'];
  if (val === true) return 'on';
  if (val === false) return 'off';
  if (val === null || val === undefined) return '–';
  return typeof val === 'number' ? showNumber(val) : String(val);
}

/** Formats a number with at most six significant digits: more would be noise and make columns jump. */
export function showNumber(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(6)));
}

/** Formats an age: `3 s`, `12 min`, `5 h`, `2 d`. */
export function showAge(seconds: number): string {
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** Formats the local time of day with tenths of a second. */
export function showTime(unix: number): string {
  const date = new Date(unix * 1000);
  const tenth = Math.floor(date.getMilliseconds() / 100);
  return `${date.toTimeString().slice(0, 8)}.${tenth}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

/** Parses a number with a decimal comma or point; `undefined` when the text is not a number. */
export function readNumber(text: string): number | undefined {
  const number = Number(text.trim().replace(',', '.'));
  return text.trim() !== '' && Number.isFinite(number) ? number : undefined;
}
