import { systemClock } from '../../clock/clock.ts';
import { isRecord } from '../../message/envelope.ts';
import { type IoMessage, type Quality, qualities } from '../../message/payloads.ts';
import { BusClient, busEndpoint, pinsOf } from '../bus-client.ts';
import { CliError, exitCodes } from '../exit.ts';
import { colour, printJson, printLine, showAge, showQuality, showValue, table } from '../output.ts';
import { pinNote } from './pin-note.ts';

export interface PinsOptions {
  readonly bus?: string;
  readonly json?: boolean;
  readonly timeout: number;
}

interface Row {
  readonly node: string;
  readonly kind: string;
  readonly direction: string;
  readonly label: string;
  readonly uom: string;
  report: IoMessage | undefined;
}

/** Time without news after which every node that is there is taken to have spoken. */
const QUIET_MS = 300;
/** Processes of v1 do not say what they have: then this long after the start. */
const NO_NODE_MS = 1500;

/** Lists every pin on the bus with its value. */
export async function pins(options: PinsOptions): Promise<void> {
  const client = new BusClient(busEndpoint(options.bus));
  const rows = new Map<string, Row>();
  /** When something was heard that was not known yet. */
  let heard = 0;
  let nodes = 0;
  client.actor.on('NodeMessage', (data) => {
    if (pinsOf(data).some(({ name }) => !rows.get(name)?.kind)) heard = systemClock.now();
    nodes++;
    const node = isRecord(data) && typeof data['name'] === 'string' ? data['name'] : '?';
    for (const { name, ...info } of pinsOf(data)) {
      rows.set(name, { node, ...info, report: rows.get(name)?.report });
    }
  });
  client.onIoMessage((message, report) => {
    if (!report) return;
    const known = rows.get(message.pin_name);
    if (known?.report === undefined) heard = systemClock.now();
    if (known) known.report = message;
    else {
      rows.set(message.pin_name, { node: '?', kind: '', direction: '', label: '', uom: '', report: message });
    }
  });
  await client.connect(options.timeout);
  const begun = systemClock.now();
  for (const end = begun + options.timeout; systemClock.now() < end; ) {
    // Asked again until a node has said what it has: the first question may be lost while the link comes up.
    if (nodes === 0) client.actor.send({ UpdateIoMessage: {} });
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS / 3));
    const complete = [...rows.values()].every(({ report }) => report !== undefined);
    const waited = nodes > 0 ? QUIET_MS : NO_NODE_MS;
    if (heard > 0 && complete && systemClock.now() - Math.max(heard, nodes > 0 ? 0 : begun) > waited) break;
  }
  await client.close();
  if (rows.size === 0)
    throw new CliError(exitCodes.noAnswer, 'no pin answers on the bus', 'is an agent running there?');
  show(rows, options);
}

function show(rows: ReadonlyMap<string, Row>, { json }: PinsOptions): void {
  const sorted = [...rows].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  if (json) {
    for (const [name, { report, ...info }] of sorted) printJson({ pin_name: name, ...info, ...report });
    return;
  }
  const now = systemClock.unix();
  const cells = sorted.map(([name, { node, kind, direction, uom, label, report }]) => {
    const quality = asQuality(report?.['quality']);
    const changed = report?.['last_change'];
    return [
      name,
      showValue(report?.val, uom),
      report ? showQuality(quality) : colour.red('silent'),
      typeof changed === 'number' ? showAge(now - changed) : '',
      `${kind} ${direction}`.trim(),
      node,
      [label, pinNote(report)].filter((text) => text !== '').join('; '),
    ];
  });
  printLine(table(['PIN', 'VALUE', 'QUALITY', 'SINCE', 'KIND', 'NODE', ''], cells));
}

export function asQuality(found: unknown): Quality | undefined {
  return qualities.find((quality) => quality === found);
}
