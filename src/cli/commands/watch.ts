import { emitKeypressEvents } from 'node:readline';
import { isRecord } from '../../message/envelope.ts';
import type { IoMessage } from '../../message/payloads.ts';
import { BusClient, busEndpoint } from '../bus-client.ts';
import { LiveTable } from '../live-table.ts';
import { colour, printJson, printLine, showQuality, showTime, showValue } from '../output.ts';
import { PinList, qualityOf } from '../pin-list.ts';

export interface WatchOptions {
  readonly bus?: string;
  readonly json?: boolean;
  readonly all?: boolean;
  readonly log?: boolean;
  readonly timeout: number;
}

/** Shows what passes on the bus until the process is told to end: a table on a terminal, lines elsewhere. */
export async function watch(patterns: readonly string[], options: WatchOptions): Promise<void> {
  const client = new BusClient(busEndpoint(options.bus));
  const wanted = patterns.length === 0 ? () => true : globMatcher(patterns);
  const inLines = options.json || options.log || options.all || !process.stdout.isTTY;
  try {
    if (inLines) await watchLines(client, wanted, options);
    else await watchTable(client, wanted, options);
  } finally {
    await client.close();
  }
}

async function watchLines(client: BusClient, wanted: (pin: string) => boolean, options: WatchOptions): Promise<void> {
  client.actor.onAny(({ payload, timestamp }) => {
    for (const [subject, data] of Object.entries(payload)) {
      const name = isRecord(data) ? data['pin_name'] : undefined;
      const concerns = typeof name === 'string' ? wanted(name) : options.all === true;
      if (!concerns) continue;
      if (options.json) printJson({ subject, ...(isRecord(data) ? data : { data }) });
      else printLine(formatLine(subject, data, typeof timestamp === 'number' ? timestamp : Date.now() / 1000));
    }
  });
  await client.connect(options.timeout);
  client.actor.send({ UpdateIoMessage: {} });
  await untilStopped();
}

async function watchTable(client: BusClient, wanted: (pin: string) => boolean, options: WatchOptions): Promise<void> {
  const list = new PinList(client, (pin) => live.changed(pin));
  const { host, rx, tx } = busEndpoint(options.bus);
  const live = new LiveTable(process.stdout, list, { title: `dcs-io watch  ${host}:${rx}:${tx}`, wanted });
  await client.connect(options.timeout);
  const { stdin } = process;
  const end = new AbortController();
  const asked = list.gather(options.timeout, end.signal);
  if (stdin.isTTY) {
    emitKeypressEvents(stdin);
    stdin.setRawMode(true);
    stdin.on('keypress', (_text, { name, ctrl }) => {
      if (name === 'q' || (ctrl && name === 'c')) end.abort();
      else if (name !== undefined) live.key(name);
    });
  }
  live.open();
  try {
    await untilStopped(end.signal);
  } finally {
    end.abort();
    live.close();
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    await asked;
  }
}

/** Resolves when the process is to end. */
function untilStopped(asked?: AbortSignal): Promise<void> {
  return new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    asked?.addEventListener('abort', () => resolve());
    // The reader of a pipe went away (`dcs-io watch | head`): there is nobody to print for.
    process.stdout.once('error', () => resolve());
  });
}

function formatLine(subject: string, data: unknown, unix: number): string {
  const time = colour.dim(showTime(unix));
  if (!isRecord(data)) return `${time}  ${subject} ${JSON.stringify(data)}`;
  const name = String(data['pin_name'] ?? data['port'] ?? '').padEnd(20);
  if (subject === 'IoMessage') return `${time}  ${name}  ${formatIoMessage(data)}`;
  if (subject === 'IoErrorMessage') return `${time}  ${name}  ${colour.red(`${data['code']}`)} ${data['message']}`;
  return `${time}  ${subject} ${JSON.stringify(data)}`;
}

function formatIoMessage(data: Record<string, unknown>): string {
  if (data['last_change'] === undefined) return colour.cyan(`← ${describeCommand(data)}`);
  const quality = qualityOf({ pin_name: '', ...data });
  const doubt = quality === 'good' || quality === undefined ? '' : `  ${showQuality(quality)} ${data['reason'] ?? ''}`;
  return showValue(data['val']) + doubt + describeControl(data['output']);
}

/** Who decides an output, when it is not whoever commanded it. */
function describeControl(output: unknown): string {
  if (!isRecord(output)) return '';
  const { by, why } = output;
  return by === 'override' || by === 'safe' || by === 'rule' ? `  ${colour.yellow(`${by}: ${why}`)}` : '';
}

/** What a command wants. */
function describeCommand({ val, override, rearm }: Record<string, unknown>): string {
  if (rearm === true) return 'rearm';
  if (override === 0) return 'end of the override';
  return `${showValue(val)}${typeof override === 'number' ? ` for ${override} s` : ''}`;
}

/** Pin names as people shorten them: `*` for anything, `?` for one character. */
export function globMatcher(patterns: readonly string[]): (name: IoMessage['pin_name']) => boolean {
  const rules = patterns.map((pattern) => {
    const escaped = pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^${escaped}$`);
  });
  return (name) => rules.some((rule) => rule.test(name));
}
