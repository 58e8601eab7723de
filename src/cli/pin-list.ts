import type { Writable } from 'node:stream';
import { z } from 'zod';
import { type Clock, systemClock } from '../clock/clock.ts';
import { isRecord } from '../message/envelope.ts';
import { type IoMessage, type Quality, qualities } from '../message/payloads.ts';
import { type BusClient, pinsOf, withClient } from './bus-client.ts';
import { CliError, exitCodes } from './exit.ts';
import type { ClientOptions } from './options.ts';
import { colour, printJson, printLine, showAge, showQuality, showTime, showValue, table } from './output.ts';

/** A pin on the bus. */
export interface PinRow {
  readonly node: string;
  readonly kind: string;
  readonly direction: string;
  readonly label: string;
  readonly uom: string;
  report: IoMessage | undefined;
}

/** Numbers of a node's pins by state. */
export interface NodeSummary {
  readonly node: string;
  pins: number;
  good: number;
  uncertain: number;
  bad: number;
  silent: number;
  /** Outputs that are overridden, or held by a safe state or a rule. */
  held: number;
  /** Longest time (s) the event loop was blocked within the last one to two minutes; only nodes that report it. */
  readonly loop_delay?: number;
}

/** The list is complete when no node and no pin was new for this long. */
const QUIET_MS = 300;
/** Processes of v1 do not list their pins: without any node, the list is complete this long after the first question. */
const NO_NODE_MS = 1500;

export const pinColumns = ['PIN', 'VALUE', 'QUALITY', 'SINCE', 'KIND', 'NODE', ''] as const;

/** Every pin on the bus with its last report. */
export class PinList {
  readonly rows = new Map<string, PinRow>();
  /** Nodes by name: how long (s) the event loop of each was blocked lately, where it reports that. */
  readonly nodes = new Map<string, number | undefined>();
  readonly #client: BusClient;
  readonly #clock: Clock;
  /** When the last new node, pin or first report came. */
  #newestMs = 0;

  /** Calls `changed` with the name of each pin that reports. */
  constructor(client: BusClient, changed: (pin: string) => void = () => {}, clock: Clock = systemClock) {
    this.#client = client;
    this.#clock = clock;
    client.bus.on('NodeMessage', (data) => this.#takeNode(data));
    client.onIoMessage((message, report) => {
      if (!report) return;
      const known = this.rows.get(message.pin_name);
      if (known?.report === undefined) this.#newestMs = clock.now();
      if (known) known.report = message;
      else {
        const unknown = { node: '?', kind: '', direction: '', label: '', uom: '' };
        this.rows.set(message.pin_name, { ...unknown, report: message });
      }
      changed(message.pin_name);
    });
  }

  /** Asks every pin to report. Resolves when all have, when the time is up, or when `until` is aborted. */
  async gather(timeoutMs: number, until?: AbortSignal): Promise<void> {
    const begun = this.#clock.now();
    for (const end = begun + timeoutMs; this.#clock.now() < end && !until?.aborted; ) {
      // Asks again until a node has listed its pins: the first question may be lost while connections come up.
      if (this.nodes.size === 0) this.#client.bus.send({ UpdateIoMessage: {} });
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS / 3));
      const complete = [...this.rows.values()].every(({ report }) => report !== undefined);
      const [waited, since] = this.nodes.size > 0 ? [QUIET_MS, 0] : [NO_NODE_MS, begun];
      if (this.#newestMs > 0 && complete && this.#clock.now() - Math.max(this.#newestMs, since) > waited) break;
    }
  }

  /** Sorted by name; numbers in names in numeric order. */
  sorted(): [name: string, row: PinRow][] {
    return [...this.rows].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  }

  /** Numbers of pins by state, for each node. */
  summaries(): NodeSummary[] {
    const found = new Map<string, NodeSummary>();
    for (const [node, delay] of this.nodes) found.set(node, emptySummary(node, delay));
    for (const [, { node, report }] of this.sorted()) {
      const one = found.get(node) ?? emptySummary(node);
      found.set(node, one);
      one.pins++;
      // Processes of v1 report no quality.
      one[report === undefined ? 'silent' : (qualityOf(report) ?? 'good')]++;
      if (isOverruled(report)) one.held++;
    }
    return [...found.values()];
  }

  /** The pins that need attention: silent, not good, or overruled. */
  troubled(): [name: string, row: PinRow][] {
    return this.sorted().filter(([, { report }]) => {
      const quality = qualityOf(report);
      return !report || quality === 'bad' || quality === 'uncertain' || isOverruled(report);
    });
  }

  /** A row of a table. */
  cells(name: string, { node, kind, direction, uom, label, report }: PinRow): string[] {
    const changed = report?.['last_change'];
    return [
      name,
      showValue(report?.val, uom),
      report ? showQuality(qualityOf(report)) : colour.red('silent'),
      typeof changed === 'number' ? showAge(this.#clock.unix() - changed) : '',
      `${kind} ${direction}`.trim(),
      node,
      [label, pinNote(report)].filter((part) => part !== '').join('; '),
    ];
  }

  #takeNode(data: unknown): void {
    if (!isRecord(data)) return;
    const node = typeof data['name'] === 'string' ? data['name'] : '?';
    if (data['event'] === 'leave') {
      this.nodes.delete(node);
      return;
    }
    const delay = data['loop_delay'];
    this.nodes.set(node, typeof delay === 'number' ? delay : undefined);
    for (const { name, ...info } of pinsOf(data)) {
      if (!this.rows.get(name)?.kind) this.#newestMs = this.#clock.now();
      this.rows.set(name, { node, ...info, report: this.rows.get(name)?.report });
    }
  }
}

function emptySummary(node: string, delay?: number): NodeSummary {
  const loop = delay === undefined ? {} : { loop_delay: delay };
  return { node, pins: 0, good: 0, uncertain: 0, bad: 0, silent: 0, held: 0, ...loop };
}

/** Every pin on the bus. Rejects when there is none. */
export async function gatherPins(options: ClientOptions): Promise<PinList> {
  const list = await withClient(options, async (client) => {
    const pins = new PinList(client);
    await pins.gather(options.timeout);
    return pins;
  });
  if (list.rows.size > 0) return list;
  throw new CliError(exitCodes.noAnswer, 'no pin answers on the bus', 'is an agent running there?');
}

export function qualityOf(report: IoMessage | undefined): Quality | undefined {
  return qualities.find((quality) => quality === report?.['quality']);
}

/** True for an output that an override, a safe state or a rule controls. */
export function isOverruled(report: IoMessage | undefined): boolean {
  const output = report?.['output'];
  if (!isRecord(output)) return false;
  return output['override'] !== undefined || output['by'] === 'safe' || output['by'] === 'rule';
}

const value = z.union([z.boolean(), z.number(), z.string(), z.null()]);
const who = { node: z.string(), actor: z.string() };
/** The parts of an output's report that the note shows; parts of another shape are left out. */
const outputSchema = z.looseObject({
  desired: value.optional(),
  by: z.string(),
  why: z.string(),
  command: z.looseObject({ ...who, val: value, state: z.string(), at: z.number() }).optional(),
  override: z.looseObject({ ...who, val: value, until: z.number(), kept: z.boolean().optional() }).optional(),
});

/** The cause of a pin's value and the problems with it; '' when there is nothing to say. */
export function pinNote(report: IoMessage | undefined): string {
  if (!report) return '';
  const notes: string[] = [];
  const { quality, reason, simulated, val } = report;
  const parsed = outputSchema.safeParse(report['output']);
  const output = parsed.success ? parsed.data : undefined;
  const { override, desired, by, why, command } = output ?? {};
  if (override) {
    const { node, actor, until, kept = true } = override;
    notes.push(colour.yellow(`overridden by ${actor}@${node} until ${showTime(until).slice(0, 8)}`));
    if (!kept) notes.push('it ends with the process, because it could not be saved');
  } else if (by === 'safe' || by === 'rule') notes.push(colour.yellow(`${by}: ${why}`));
  else if (by === 'follow') notes.push(String(why));
  else if (command)
    notes.push(`${command.state}, by ${command.actor}@${command.node} ${showTime(command.at).slice(0, 8)}`);
  if (desired !== undefined && desired !== val) notes.push(`to be ${showValue(desired)}`);
  if (quality !== 'good' && typeof reason === 'string') notes.push(reason);
  if (simulated === true) notes.push(colour.dim('simulated'));
  return notes.join('; ');
}

/** Prints an output with who decides its value. */
export function printPin(report: IoMessage, { json }: ClientOptions): void {
  if (json) printJson(report);
  else printLine(`${report.pin_name}  ${showValue(report.val)}  ${pinNote(report)}`.trimEnd());
}

const ESC = '\u001b[';
/** Time between two frames: a person reads no faster, and a slow line carries no more. */
const FRAME_MS = 200;
/** A changed pin is highlighted for this long. */
const FRESH_MS = 1000;

/** The parts of a terminal that the table needs. */
export interface Screen extends Writable {
  readonly columns: number;
  readonly rows: number;
}

/** A table of pins that fills the terminal and follows their changes. Restores the terminal's text when it closes. */
export class LiveTable {
  readonly #screen: Screen;
  readonly #list: PinList;
  readonly #wanted: (pin: string) => boolean;
  readonly #title: string;
  readonly #changes = new Map<string, number>();
  #top = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(screen: Screen, list: PinList, options: { title: string; wanted: (pin: string) => boolean }) {
    this.#screen = screen;
    this.#list = list;
    this.#wanted = options.wanted;
    this.#title = options.title;
  }

  open(): void {
    this.#screen.write(`${ESC}?1049h${ESC}?25l`);
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#screen.write(`${ESC}?25h${ESC}?1049l`);
  }

  /** Highlights a pin that has reported. */
  changed(pin: string): void {
    this.#changes.set(pin, performance.now());
  }

  /** Scrolls on arrow and page keys. */
  key(name: string): void {
    const page = this.#room();
    const steps: Readonly<Record<string, number>> = { up: -1, k: -1, down: 1, j: 1, pageup: -page, pagedown: page };
    const step = steps[name];
    if (step === undefined) return;
    this.#top += step;
    this.#draw();
  }

  /** Number of lines for pins: all but the title, the head of the table and the last two lines. */
  #room(): number {
    return Math.max(1, (this.#screen.rows || 24) - 4);
  }

  #draw(): void {
    const rows = this.#list.sorted().filter(([name]) => this.#wanted(name));
    const room = this.#room();
    this.#top = Math.max(0, Math.min(this.#top, rows.length - room));
    const now = performance.now();
    const cells = rows.map(([name, row]) => {
      const [first = '', ...others] = this.#list.cells(name, row);
      const at = this.#changes.get(name);
      return [at !== undefined && now - at < FRESH_MS ? colour.inverse(first) : first, ...others];
    });
    // All rows count for the widths, so that columns do not move while scrolling.
    const [head = '', ...lines] = table(pinColumns, cells).split('\n');
    const shown = lines.slice(this.#top, this.#top + room);
    const more = rows.length - this.#top - shown.length;
    const foot = more > 0 || this.#top > 0 ? `${this.#top} above, ${more} below: arrows scroll; q ends` : 'q ends';
    const text = [colour.bold(this.#title), head, ...shown, '', colour.dim(foot)];
    const width = this.#screen.columns || 80;
    this.#screen.write(`${ESC}H${text.map((line) => truncateLine(line, width)).join(`${ESC}K\n`)}${ESC}K${ESC}J`);
  }
}

/** Cuts a line after `width` visible characters. Colour codes take no width and are kept, so that colours end. */
export function truncateLine(line: string, width: number): string {
  const parts = line.split(new RegExp(`(${ESC.replace('[', '\\[')}\\d+m)`));
  let room = width;
  const kept = parts.map((part) => {
    if (part.startsWith(ESC)) return part;
    const text = [...part].slice(0, room).join('');
    room -= [...text].length;
    return text;
  });
  return kept.join('');
}
