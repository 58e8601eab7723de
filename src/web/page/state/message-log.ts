import { signal } from '@preact/signals';
import type { Envelope } from '../../../message/envelope.ts';

/** Limit of kept lines; the oldest are removed first. */
export const MAX_LINES = 2000;
/** Interval of renderings (ms): on a busy bus, one for every message would be too many. */
const RENDER_MS = 200;

/** A line of the log. */
export interface LogLine {
  readonly key: number;
  /** Unix seconds. */
  readonly at: number;
  readonly kind: 'report' | 'command' | 'refusal' | 'other';
  /** Pin, port or subject. */
  readonly about: string;
  readonly text: string;
  readonly sender: string;
}

/** Messages that matched the filter, the newest first. */
export const lines = signal<readonly LogLine[]>([]);
export const paused = signal(false);
/** Text of the filter. Messages that do not match are not kept: they would displace those that do. */
export const searchText = signal('');
export const kinds = signal<readonly LogLine['kind'][]>(['report', 'command', 'refusal', 'other']);
/** Numbers of messages not in the list: received while paused, older than the kept lines, not matching the filter. */
export const notShown = signal({ paused: 0, older: 0, unfit: 0 });

let serial = 0;
let pendingLines: LogLine[] = [];
let pendingNotShown = { paused: 0, older: 0, unfit: 0 };
let renderScheduled = false;

type Data = Readonly<Record<string, unknown>>;

/** Adds a message to the log, except heartbeats and the messages about this connection. */
export function logMessage(subject: string, data: Data, { sender, timestamp }: Envelope): void {
  if (subject === 'WebSession' || subject === 'WebBeat') return;
  if (subject === 'NodeMessage' && data['event'] === 'heartbeat') return;
  if (!renderScheduled) setTimeout(renderLog, RENDER_MS);
  renderScheduled = true;
  if (paused.value) {
    pendingNotShown.paused++;
    return;
  }
  const line = { key: serial++, at: Number(timestamp), sender: sender[0] ?? '', ...describeMessage(subject, data) };
  if (!matchesFilter(line)) {
    pendingNotShown.unfit++;
    return;
  }
  pendingLines.push(line);
  // Browsers delay timers of a page in the background by up to a minute.
  if (pendingLines.length > 2 * MAX_LINES) {
    pendingNotShown.older += pendingLines.length - MAX_LINES;
    pendingLines = pendingLines.slice(-MAX_LINES);
  }
}

export function matchesFilter({ kind, about, text }: LogLine): boolean {
  const part = searchText.value.trim().toLowerCase();
  return kinds.value.includes(kind) && (part === '' || `${about} ${text}`.toLowerCase().includes(part));
}

export function clearLog(): void {
  pendingLines = [];
  lines.value = [];
  notShown.value = { paused: 0, older: 0, unfit: 0 };
}

export function setPaused(to: boolean): void {
  paused.value = to;
}

function renderLog(): void {
  renderScheduled = false;
  const all = [...pendingLines.reverse(), ...lines.value];
  pendingLines = [];
  lines.value = all.slice(0, MAX_LINES);
  const { paused: whilePaused, older, unfit } = notShown.value;
  notShown.value = {
    paused: whilePaused + pendingNotShown.paused,
    older: older + pendingNotShown.older + Math.max(0, all.length - MAX_LINES),
    unfit: unfit + pendingNotShown.unfit,
  };
  pendingNotShown = { paused: 0, older: 0, unfit: 0 };
}

function describeMessage(subject: string, data: Data): Pick<LogLine, 'kind' | 'about' | 'text'> {
  if (subject === 'IoMessage') {
    const report = data['last_change'] !== undefined;
    return {
      kind: report ? 'report' : 'command',
      about: String(data['pin_name']),
      text: report ? describeReport(data) : describeCommand(data),
    };
  }
  if (subject === 'IoErrorMessage') {
    const { pin_name: pin, port, code, message } = data;
    return { kind: 'refusal', about: String(pin ?? port ?? ''), text: `${code}: ${message}` };
  }
  if (subject === 'NodeMessage') return { kind: 'other', about: String(data['name']), text: `node ${data['event']}` };
  return { kind: 'other', about: subject, text: JSON.stringify(data) };
}

function describeReport({ val, quality, reason }: Data): string {
  const doubt = quality !== undefined && quality !== 'good' ? ` (${quality}: ${reason ?? ''})` : '';
  return `${JSON.stringify(val)}${doubt}`;
}

function describeCommand({ val, override, rearm, pulse, hold, blink }: Data): string {
  if (rearm === true) return 'rearm';
  if (override === 0) return 'end of the override';
  const extra = Object.entries({ override, pulse, hold, blink }).flatMap(([key, value]) =>
    value === undefined ? [] : [` ${key} ${JSON.stringify(value)} s`],
  );
  return `${JSON.stringify(val)}${extra.join('')}`;
}
