import { z } from 'zod';
import { type Clock, systemClock } from '../clock/clock.ts';
import { isRecord } from '../message/envelope.ts';
import { type IoMessage, type Quality, qualities } from '../message/payloads.ts';
import { type BusClient, pinsOf } from './bus-client.ts';
import { colour, showAge, showQuality, showTime, showValue } from './output.ts';

/** A pin as the bus tells of it. */
export interface PinRow {
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

export const pinColumns = ['PIN', 'VALUE', 'QUALITY', 'SINCE', 'KIND', 'NODE', ''] as const;

/** Every pin that is heard of, with its last report. */
export class PinList {
  readonly rows = new Map<string, PinRow>();
  /** The nodes that are there, by name: how long (s) each was held up of late, where it says so. */
  readonly nodes = new Map<string, number | undefined>();
  readonly #client: BusClient;
  readonly #clock: Clock;
  /** When something was heard that was not known yet. */
  #heard = 0;

  /** `changed` is called with the name of each pin that reports. */
  constructor(client: BusClient, changed: (pin: string) => void = () => {}, clock: Clock = systemClock) {
    this.#client = client;
    this.#clock = clock;
    client.actor.on('NodeMessage', (data) => this.#takeNode(data));
    client.onIoMessage((message, report) => {
      if (!report) return;
      const known = this.rows.get(message.pin_name);
      if (known?.report === undefined) this.#heard = clock.now();
      if (known) known.report = message;
      else {
        const unknown = { node: '?', kind: '', direction: '', label: '', uom: '' };
        this.rows.set(message.pin_name, { ...unknown, report: message });
      }
      changed(message.pin_name);
    });
  }

  /** Asks every pin to report until all that are there have, for so long, or until nobody wants to know any more. */
  async gather(timeoutMs: number, until?: AbortSignal): Promise<void> {
    const begun = this.#clock.now();
    for (const end = begun + timeoutMs; this.#clock.now() < end && !until?.aborted; ) {
      // Asked again until a node has said what it has: the first question may be lost while the link comes up.
      if (this.nodes.size === 0) this.#client.actor.send({ UpdateIoMessage: {} });
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS / 3));
      const complete = [...this.rows.values()].every(({ report }) => report !== undefined);
      const [waited, since] = this.nodes.size > 0 ? [QUIET_MS, 0] : [NO_NODE_MS, begun];
      if (this.#heard > 0 && complete && this.#clock.now() - Math.max(this.#heard, since) > waited) break;
    }
  }

  /** By name, numbers in it in their order. */
  sorted(): [name: string, row: PinRow][] {
    return [...this.rows].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  }

  /** A row of a table for people. */
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
      if (!this.rows.get(name)?.kind) this.#heard = this.#clock.now();
      this.rows.set(name, { node, ...info, report: this.rows.get(name)?.report });
    }
  }
}

export function qualityOf(report: IoMessage | undefined): Quality | undefined {
  return qualities.find((quality) => quality === report?.['quality']);
}

/** Whether an output is out of its commands' hands: overridden, or kept by a safe state or a rule. */
export function isOverruled(report: IoMessage | undefined): boolean {
  const output = report?.['output'];
  if (!isRecord(output)) return false;
  return output['override'] !== undefined || output['by'] === 'safe' || output['by'] === 'rule';
}

const value = z.union([z.boolean(), z.number(), z.string(), z.null()]);
const who = { node: z.string(), actor: z.string() };
/** The parts of an output's report that people are told of; what makes no sense is left out. */
const outputSchema = z.looseObject({
  desired: value.optional(),
  by: z.string(),
  why: z.string(),
  command: z.looseObject({ ...who, val: value, state: z.string(), at: z.number() }).optional(),
  override: z.looseObject({ ...who, val: value, until: z.number(), kept: z.boolean().optional() }).optional(),
});

/** What a person has to know of a pin beside its value: who decides it, and what is wrong. Empty: nothing. */
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
    if (!kept) notes.push('it ends with the process: it is not on the disk');
  } else if (by === 'safe' || by === 'rule') notes.push(colour.yellow(`${by}: ${why}`));
  else if (by === 'follow') notes.push(String(why));
  else if (command)
    notes.push(`${command.state}, by ${command.actor}@${command.node} ${showTime(command.at).slice(0, 8)}`);
  if (desired !== undefined && desired !== val) notes.push(`to be ${showValue(desired)}`);
  if (quality !== 'good' && typeof reason === 'string') notes.push(reason);
  if (simulated === true) notes.push(colour.dim('simulated'));
  return notes.join('; ');
}
