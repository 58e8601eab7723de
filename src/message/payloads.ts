import { z } from 'zod';
import { isRecord, type Payload } from './envelope.ts';

/** What a pin can hold on the wire. `null`: nothing has been read yet. */
export type PinValue = boolean | number | string | null;

export const qualities = ['good', 'uncertain', 'bad'] as const;
/** good: trust it. uncertain: the last value, ageing or simulated. bad: do not use it; `reason` says why. */
export type Quality = (typeof qualities)[number];

const pinName = z.string().min(1).max(256);
const seconds = z.number().nonnegative();
/** Faster is no blinking: a lamp needs no more, a relay stands no more. */
const phase = z.number().min(0.05).max(86_400);

/** An IoMessage that asks a pin for a value. Keys of other programs are kept (and ignored). */
export const ioCommandSchema = z.looseObject({
  pin_name: pinName,
  val: z.union([z.boolean(), z.number(), z.string()]),
  ttl: seconds.optional().describe('seconds from arrival after which the command must not be carried out any more'),
  hold: seconds.optional().describe('a lease: seconds after which the output goes to its safe value'),
  pulse: seconds.optional().describe('seconds after which the output goes back'),
  blink: z
    .tuple([phase, phase])
    .optional()
    .describe('seconds on and seconds off, beginning with val, until the next command'),
  override: z
    .number()
    .positive()
    .max(31_536_000)
    .optional()
    .describe('seconds for which val wins over every other command'),
});
export type IoCommand = z.infer<typeof ioCommandSchema>;

/** An IoMessage that asks no value of an output: to end its override, or to let it be commanded after a loss. */
export const ioControlSchema = z.looseObject({
  pin_name: pinName,
  val: z.undefined().optional(),
  override: z.literal(0).optional(),
  rearm: z.literal(true).optional(),
});

export type IoControl = z.infer<typeof ioControlSchema>;

/** Who decides what an output is. */
export type ControlledBy = 'start' | 'command' | 'follow' | 'safe' | 'rule' | 'override' | 'exit';
/** accepted: on its way. sent: taken by hardware that cannot be asked. verified: read back. unknown: nobody confirmed it. */
export type CommandState = 'accepted' | 'sent' | 'verified' | 'failed' | 'expired' | 'unknown';

/** What is wanted of an output, beside what it is. */
export interface OutputReport {
  /** What it is to be. Absent: it is left as it is. */
  readonly desired?: PinValue;
  readonly by: ControlledBy;
  /** Why, for people: `controller hall is lost`. */
  readonly why: string;
  /** The last command and what became of it. */
  readonly command?: {
    readonly val: PinValue;
    readonly state: CommandState;
    /** Name of the node it came from where that is known, else its id; the same of the actor. */
    readonly node: string;
    readonly actor: string;
    /** Unix seconds of its arrival. */
    readonly at: number;
  };
  /** An override that is in force; `until` is unix seconds. `kept: false`: not on the disk, it ends with the process. */
  readonly override?: {
    readonly val: PinValue;
    readonly until: number;
    readonly node: string;
    readonly actor: string;
    readonly kept?: false;
  };
}

/** An IoMessage that states a pin's value. It always has `last_change`: that tells it from a command. */
export interface IoReport {
  readonly pin_name: string;
  readonly val: PinValue;
  /** Unix seconds at which `val` last changed. */
  readonly last_change: number;
  readonly quality: Quality;
  /** Why quality is not good, and since when (unix seconds). */
  readonly reason?: string;
  readonly quality_since?: number;
  /** The hardware is simulated: the value is made up. */
  readonly simulated?: true;
  /** Unix seconds at which the hardware says it happened. */
  readonly source_time?: number;
  /** Counters: how much `val` changes per second (Hz, when each edge counts 1); negative when it goes down. */
  readonly rate?: number;
  /** Counts this pin's reports since the agent's start; a gap is a lost report. */
  readonly seq: number;
  /** msg_id of the command or query this answers. */
  readonly reply_to?: string;
  /** Outputs: what is wanted of it. */
  readonly output?: OutputReport;
}

/** IoMessage as anything on the bus may see it: only `pin_name` is certain (v1 peers send little else). */
export type IoMessage = Readonly<Record<string, unknown>> & { readonly pin_name: string; readonly val?: unknown };

export interface IoError {
  readonly pin_name?: string;
  readonly port?: string;
  readonly code: string;
  readonly message: string;
  /** The rule of the configuration that refused it. */
  readonly rule?: string;
  readonly reply_to?: string;
}

/**
 * Bytes of a serial port. A message that carries `source_time` came from the hardware and is never sent out again; one
 * without it asks for `data` to be sent.
 */
export const serialCommandSchema = z.looseObject({
  port: z.string().min(1),
  data: z.string(),
  encoding: z.enum(['text', 'base64']).optional(),
  ttl: seconds.optional(),
});
export interface SerialReport {
  readonly port: string;
  readonly data: string;
  readonly encoding?: 'base64';
  readonly source_time: number;
  /** Bytes handed to the device, in the answer to a command; `data` is then empty. */
  readonly sent?: number;
  readonly reply_to?: string;
}

export interface PinInfo {
  readonly name: string;
  readonly kind: 'digital' | 'analog' | 'counter' | 'text';
  readonly direction: 'in' | 'out';
  readonly label?: string;
  /** Unit of measure: V, kW, °C. */
  readonly uom?: string;
  /** What it measures or drives, in Home Assistant's words: voltage, energy, switch. */
  readonly class?: string;
  /** Name of the port it is on. */
  readonly port?: string;
  /** Outputs: lowest and highest value a command may ask for. */
  readonly range?: readonly [number, number];
  /** Outputs: the value that harms nobody. */
  readonly safe?: boolean | number | string;
}

/** Birth, heartbeat and leave of a node. */
export interface NodeMessage {
  readonly event: 'birth' | 'heartbeat' | 'leave';
  readonly node: string;
  readonly name: string;
  /** New at every start of the process. */
  readonly boot: string;
  readonly pins: readonly PinInfo[];
  /** Longest time (s) everything in the process was held up by one piece of work, within the last one to two minutes. */
  readonly loop_delay?: number;
}

/** What a node tells of itself beside who it is. */
export type NodeAbout = Pick<NodeMessage, 'pins' | 'loop_delay'>;

/** An IoMessage that carries `last_change` is a report, anything else a command. */
export function isReport(message: IoMessage): boolean {
  return message['last_change'] !== undefined;
}

/** The IoMessage of a payload, if it has a usable one. */
export function ioMessageOf(payload: Payload): IoMessage | undefined {
  const data = payload['IoMessage'];
  return isIoMessage(data) ? data : undefined;
}

export function isIoMessage(data: unknown): data is IoMessage {
  return isRecord(data) && typeof data['pin_name'] === 'string' && data['pin_name'] !== '';
}
