import { signal } from '@preact/signals';
import type { Envelope } from '../../../message/envelope.ts';

const MAX_LINES = 500;

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

/** What has passed, the newest first. */
export const lines = signal<readonly Line[]>([]);
export const paused = signal(false);
/** Lines that have passed while paused. */
export const unseen = signal(0);

let serial = 0;
let fresh: Line[] = [];
let due = false;

type Data = Readonly<Record<string, unknown>>;

/** Heartbeats of nodes and what is said about this connection alone are not for people. */
export function noteMessage(subject: string, data: Data, { sender, timestamp }: Envelope): void {
  if (subject === 'WebSession' || (subject === 'NodeMessage' && data['event'] === 'heartbeat')) return;
  if (paused.value) {
    unseen.value++;
    return;
  }
  const at = Number(timestamp);
  fresh.unshift({ key: serial++, at, sender: sender[0] ?? '', ...told(subject, data) });
  if (due) return;
  due = true;
  // A busy bus would otherwise draw the list anew for every message.
  setTimeout(() => {
    due = false;
    lines.value = [...fresh, ...lines.value].slice(0, MAX_LINES);
    fresh = [];
  }, 100);
}

export function clearLog(): void {
  lines.value = [];
  unseen.value = 0;
}

export function setPaused(to: boolean): void {
  paused.value = to;
  unseen.value = 0;
}

function told(subject: string, data: Data): Pick<Line, 'kind' | 'about' | 'text'> {
  if (subject === 'IoMessage') {
    const { pin_name: pin, val, quality, reason, pulse, hold, blink } = data;
    const report = data['last_change'] !== undefined;
    const extra = Object.entries({ pulse, hold, blink }).flatMap(([key, value]) =>
      value === undefined ? [] : [` ${key} ${JSON.stringify(value)} s`],
    );
    const doubt = report && quality !== undefined && quality !== 'good' ? ` (${quality}: ${reason ?? ''})` : '';
    const text = `${JSON.stringify(val)}${doubt}${extra.join('')}`;
    return { kind: report ? 'report' : 'command', about: String(pin), text };
  }
  if (subject === 'IoErrorMessage') {
    const { pin_name: pin, port, code, message } = data;
    return { kind: 'refusal', about: String(pin ?? port ?? ''), text: `${code}: ${message}` };
  }
  if (subject === 'NodeMessage') return { kind: 'other', about: String(data['name']), text: `node ${data['event']}` };
  return { kind: 'other', about: subject, text: JSON.stringify(data) };
}
