import { emitKeypressEvents } from 'node:readline';
import { isRecord } from '../../message/envelope.ts';
import type { BusClient } from '../bus-client.ts';
import type { CliCommand } from '../command-tree.ts';
import { type ClientOptions, pinFilter } from '../options.ts';
import { colour, printJson, printLine, showQuality, showTime, showValue } from '../output.ts';

interface WatchOptions extends ClientOptions {
  readonly all?: boolean;
  readonly log?: boolean;
}

export function addWatch(cli: CliCommand): void {
  cli
    .command('watch')
    .description('show a live table of the pins on a terminal; print the messages as lines in a pipe')
    .argument('[pattern...]', "pins to show, like 'tank-*'")
    .option('--log', 'print lines on a terminal too')
    .option('--all', 'print lines of every subject, not only of pins')
    .clientOptions()
    .examples('dcs-io watch', "dcs-io watch 'tank-*'", "dcs-io watch --json 'tank-*' | jq .val")
    .action(watch);
}

/** Shows the traffic of the bus until the process is told to end. */
async function watch(patterns: readonly string[], options: WatchOptions): Promise<void> {
  const { withClient } = await import('../bus-client.ts');
  const wanted = pinFilter(patterns);
  const inLines = options.json || options.log || options.all || !process.stdout.isTTY;
  await withClient(options, (client) =>
    inLines ? watchLines(client, wanted, options) : watchTable(client, wanted, options),
  );
}

async function watchLines(client: BusClient, wanted: (pin: string) => boolean, options: WatchOptions): Promise<void> {
  client.bus.onAny(({ payload, timestamp }) => {
    const unix = typeof timestamp === 'number' ? timestamp : Date.now() / 1000;
    for (const [subject, data] of Object.entries(payload)) {
      const name = isRecord(data) ? data['pin_name'] : undefined;
      const matches = typeof name === 'string' ? wanted(name) : options.all === true;
      if (matches) printMessage(subject, data, unix, options);
    }
  });
  client.bus.send({ UpdateIoMessage: {} });
  await untilStopped();
}

function printMessage(subject: string, data: unknown, unix: number, { json }: WatchOptions): void {
  if (json) printJson({ subject, ...(isRecord(data) ? data : { data }) });
  else printLine(formatLine(subject, data, unix));
}

async function watchTable(client: BusClient, wanted: (pin: string) => boolean, options: WatchOptions): Promise<void> {
  const { LiveTable, PinList } = await import('../pin-list.ts');
  const list = new PinList(client, (pin) => live.changed(pin));
  const live = new LiveTable(process.stdout, list, { title: `dcs-io watch  ${client.address}`, wanted });
  const { stdin } = process;
  const end = new AbortController();
  const gathered = list.gather(options.timeout, end.signal);
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
    await gathered;
  }
}

/** Resolves on SIGINT, SIGTERM, an abort or the end of the program that reads the output. */
function untilStopped(abort?: AbortSignal): Promise<void> {
  return new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    abort?.addEventListener('abort', () => resolve());
    // The reader of the pipe has ended, as in `dcs-io watch | head`.
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
  const { val, last_change: lastChange, quality, reason, output } = data;
  if (lastChange === undefined) return colour.cyan(`← ${describeCommand(data)}`);
  const doubt = quality === 'bad' || quality === 'uncertain' ? `  ${showQuality(quality)} ${reason ?? ''}` : '';
  return showValue(val) + doubt + describeControl(output);
}

/** Says who decides an output's value, when it is not a command. */
function describeControl(output: unknown): string {
  if (!isRecord(output)) return '';
  const { by, why } = output;
  return by === 'override' || by === 'safe' || by === 'rule' ? `  ${colour.yellow(`${by}: ${why}`)}` : '';
}

function describeCommand({ val, override, rearm }: Record<string, unknown>): string {
  if (rearm === true) return 'rearm';
  if (override === 0) return 'end of the override';
  return `${showValue(val)}${typeof override === 'number' ? ` for ${override} s` : ''}`;
}
