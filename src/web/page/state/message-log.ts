import { signal } from '@preact/signals';
import type { Envelope } from '../../../message/envelope.ts';

/** Most lines that are kept; the oldest go first. */
export const KEPT = 2000;
/** How often the list is drawn anew (ms): a busy bus would otherwise have it drawn for every message. */
const DRAW_MS = 200;

export interface Line {
  readonly key: number;
  /** Unix seconds. */
  readonly at: number;
  readonly kind: 'report' | 'command' | 'refusal' | 'other';
  /** Pin, port or subject. */
  readonly about: string;
  readonly text: string;
  readonly sender: string;
}

/** What has passed and fitted, the newest first. */
export const lines = signal<readonly Line[]>([]);
export const paused = signal(false);
/** What is looked for. What does not fit is not kept either: it would push out what does. */
export const wanted = signal('');
export const kinds = signal<readonly Line['kind'][]>(['report', 'command', 'refusal', 'other']);
/** Messages that are not in the list: passed while paused; older than those kept; of no interest. */
export const left = signal({ paused: 0, older: 0, unfit: 0 });

let serial = 0;
let fresh: Line[] = [];
let uncounted = { paused: 0, older: 0, unfit: 0 };
let due = false;

type Data = Readonly<Record<string, unknown>>;

/** Heartbeats of nodes and what is said about this connection alone are not for people. */
export function noteMessage(subject: string, data: Data, { sender, timestamp }: Envelope): void {
  if (subject === 'WebSession' || subject === 'WebBeat') return;
  if (subject === 'NodeMessage' && data['event'] === 'heartbeat') return;
  if (!due) setTimeout(draw, DRAW_MS);
  due = true;
  if (paused.value) {
    uncounted.paused++;
    return;
  }
  const line = { key: serial++, at: Number(timestamp), sender: sender[0] ?? '', ...told(subject, data) };
  if (!fits(line)) {
    uncounted.unfit++;
    return;
  }
  fresh.push(line);
  // A page in the background is not drawn for up to a minute.
  if (fresh.length > 2 * KEPT) {
    uncounted.older += fresh.length - KEPT;
    fresh = fresh.slice(-KEPT);
  }
}

export function fits({ kind, about, text }: Line): boolean {
  const part = wanted.value.trim().toLowerCase();
  return kinds.value.includes(kind) && (part === '' || `${about} ${text}`.toLowerCase().includes(part));
}

export function clearLog(): void {
  fresh = [];
  lines.value = [];
  left.value = { paused: 0, older: 0, unfit: 0 };
}

export function setPaused(to: boolean): void {
  paused.value = to;
}

function draw(): void {
  due = false;
  const all = [...fresh.reverse(), ...lines.value];
  fresh = [];
  lines.value = all.slice(0, KEPT);
  const { paused: whilePaused, older, unfit } = left.value;
  left.value = {
    paused: whilePaused + uncounted.paused,
    older: older + uncounted.older + Math.max(0, all.length - KEPT),
    unfit: unfit + uncounted.unfit,
  };
  uncounted = { paused: 0, older: 0, unfit: 0 };
}

function told(subject: string, data: Data): Pick<Line, 'kind' | 'about' | 'text'> {
  if (subject === 'IoMessage') {
    const report = data['last_change'] !== undefined;
    return {
      kind: report ? 'report' : 'command',
      about: String(data['pin_name']),
      text: report ? reported(data) : asked(data),
    };
  }
  if (subject === 'IoErrorMessage') {
    const { pin_name: pin, port, code, message } = data;
    return { kind: 'refusal', about: String(pin ?? port ?? ''), text: `${code}: ${message}` };
  }
  if (subject === 'NodeMessage') return { kind: 'other', about: String(data['name']), text: `node ${data['event']}` };
  return { kind: 'other', about: subject, text: JSON.stringify(data) };
}

function reported({ val, quality, reason }: Data): string {
  const doubt = quality !== undefined && quality !== 'good' ? ` (${quality}: ${reason ?? ''})` : '';
  return `${JSON.stringify(val)}${doubt}`;
}

function asked({ val, override, rearm, pulse, hold, blink }: Data): string {
  if (rearm === true) return 'rearm';
  if (override === 0) return 'end of the override';
  const extra = Object.entries({ override, pulse, hold, blink }).flatMap(([key, value]) =>
    value === undefined ? [] : [` ${key} ${JSON.stringify(value)} s`],
  );
  return `${JSON.stringify(val)}${extra.join('')}`;
}
