import { batch, signal } from '@preact/signals';
import type { PinFacts, Trends } from '../../api/schemas.ts';
import { CommandError, WebClient } from '../../client/web-client.ts';
import { callApi } from './api.ts';
import { agentTime, now, setAgentTime } from './clock.ts';
import { logMessage } from './message-log.ts';
import { allPins, commandSignal, pinNames, pinSignal, series } from './pins.ts';

/** Number of pins in one request for history. */
const HISTORY_BATCH = 50;
const CONFIRMED_SHOWN_MS = 2500;
const MAX_QUEUED = 5000;
/** Limits of the time between two renderings. */
const MIN_RENDER_MS = 30;
const MAX_RENDER_MS = 1000;

/** Whether the connection is up. */
export const live = signal(false);
/** When the connection was lost (unix seconds); `undefined` while it is up, and before the first one. */
export const offlineSince = signal<number | undefined>(undefined);
/** Messages dropped because this page was too slow. */
export const missed = signal(0);

let client: WebClient | undefined;
let queue: [subject: string, data: Data][] = [];
let renderTimer: ReturnType<typeof setTimeout> | undefined;
let renderDelayMs = MIN_RENDER_MS;

type Data = Readonly<Record<string, unknown>>;

/** Connects once. `onLost` is called each time the connection is lost. */
export function connect(onLost: () => void): void {
  if (client) return;
  const made = new WebClient(location.href);
  client = made;
  // Reports from before a login become bad unless the new snapshot has them.
  for (const { name, report } of allPins()) if (report) made.pins.set(name, report);
  made.on((subject, data, envelope) => {
    if (client !== made) return;
    if (subject === 'WebClosed') {
      if (live.value) offlineSince.value = agentTime();
      live.value = false;
      onLost();
      return;
    }
    // The snapshot is state, not traffic.
    if (live.value) logMessage(subject, data, envelope);
    queue.push([subject, data]);
    // Messages that arrive faster than the page renders are applied together.
    renderTimer ??= setTimeout(applyQueue, renderDelayMs);
    // Browsers delay timers of a page in the background by up to a minute.
    if (queue.length > MAX_QUEUED) applyNow();
    if (subject !== 'WebSession') return;
    setAgentTime(Number(envelope.timestamp));
    // The pins must be known before their history is requested.
    applyNow();
    live.value = true;
    offlineSince.value = undefined;
    missed.value += Number(data['missed']);
    void fillHistory();
  });
}

/** Disconnects; the last reports stay visible. Idempotent. */
export function disconnect(): void {
  const closed = client;
  client = undefined;
  closed?.close();
  live.value = false;
}

/** Sets a pin and shows the result. Never rejects. */
export function command(pin: string, val: boolean | number | string, extra: Data = {}): Promise<void> {
  return trackCommand(pin, val, (to) => to.set(pin, val, extra));
}

/** Sends an IoMessage without a value (end of an override, rearm) and shows the result. Never rejects. */
export function control(pin: string, keys: Data): Promise<void> {
  return trackCommand(pin, Object.keys(keys).join(), (to) => to.request({ IoMessage: { pin_name: pin, ...keys } }));
}

async function trackCommand(pin: string, val: unknown, send: (to: WebClient) => Promise<unknown>): Promise<void> {
  const shown = commandSignal(pin);
  const asked = { state: 'asked', val } as const;
  shown.value = asked;
  try {
    if (!client) throw new CommandError('OFFLINE', 'there is no connection to the agent');
    await send(client);
    if (shown.value !== asked) return;
    const confirmed = { state: 'confirmed', val } as const;
    shown.value = confirmed;
    setTimeout(() => {
      if (shown.value === confirmed) shown.value = undefined;
    }, CONFIRMED_SHOWN_MS);
  } catch (error) {
    if (shown.value !== asked) return;
    shown.value = { state: 'failed', val, message: error instanceof Error ? error.message : String(error) };
  }
}

function applyNow(): void {
  clearTimeout(renderTimer);
  applyQueue();
}

function applyQueue(): void {
  renderTimer = undefined;
  const messages = queue;
  queue = [];
  const begun = performance.now();
  // Runs after the rendering: a slow device renders less often, so that the page stays responsive.
  setTimeout(() => {
    renderDelayMs = Math.min(MAX_RENDER_MS, Math.max(MIN_RENDER_MS, 3 * (performance.now() - begun)));
  });
  batch(() => {
    for (const [subject, data] of messages) {
      if (subject === 'IoMessage' && data['last_change'] !== undefined) applyReport(data);
      if (subject === 'NodeMessage') applyNodeMessage(data);
    }
  });
}

function applyReport(report: Data): void {
  const { pin_name: name, val, quality } = report;
  if (typeof name !== 'string') return;
  const pin = pinSignal(name);
  pin.value = { ...pin.value, report };
  const number = typeof val === 'number' ? val : typeof val === 'boolean' ? Number(val) : null;
  series(name).push(agentTime(), quality === 'bad' ? null : number);
}

function applyNodeMessage({ event, name, pins }: Data): void {
  if (typeof name !== 'string') return;
  if (event === 'leave') {
    for (const known of pinNames.value) {
      const pin = pinSignal(known);
      if (pin.value.node === name) pin.value = { ...pin.value, nodeLeft: true };
    }
    return;
  }
  for (const facts of Array.isArray(pins) ? pins.filter(isPinFacts) : []) {
    const pin = pinSignal(facts.name);
    pin.value = { ...pin.value, facts, node: name, nodeLeft: false };
  }
}

async function fillHistory(): Promise<void> {
  const names = pinNames.value;
  for (let at = 0; at < names.length; at += HISTORY_BATCH) {
    const wanted = names.slice(at, at + HISTORY_BATCH).map((name) => `pin=${encodeURIComponent(name)}`);
    try {
      const trends = await callApi<Trends>('GET', `/api/history?seconds=86400&${wanted.join('&')}`);
      for (const [name, { t, v }] of Object.entries(trends)) series(name).fill(t, v);
    } catch {
      // The trends then begin now. The connection state shows the error.
      return;
    }
  }
  now.value = agentTime();
}

function isPinFacts(found: unknown): found is PinFacts {
  return typeof found === 'object' && found !== null && 'name' in found && typeof found.name === 'string';
}
