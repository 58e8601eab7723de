import { z } from 'zod';
import { isRecord, type Payload } from './envelope.ts';

/** A pin's value on the wire. `null` until the first reading. */
export type PinValue = boolean | number | string | null;

/** The qualities of a report. */
export const qualities = ['good', 'uncertain', 'bad'] as const;
/** good: trust it. uncertain: the last value, stale or unconfirmed. bad: do not use it. `reason` says why. */
export type Quality = (typeof qualities)[number];

const pinName = z.string().min(1).max(256);
const seconds = z.number().nonnegative();
/** Seconds. A relay does not survive faster switching, and a lamp does not need it. */
const phase = z.number().min(0.05).max(86_400);

/** An IoMessage that commands a value. Keys of other programs are kept and ignored. */
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
/** An IoMessage that asks for a value. */
export type IoCommand = z.infer<typeof ioCommandSchema>;

/** An IoMessage without a value: it ends an override, or rearms an output that is locked in its safe state. */
export const ioControlSchema = z.looseObject({
  pin_name: pinName,
  val: z.undefined().optional(),
  override: z.literal(0).optional(),
  rearm: z.literal(true).optional(),
});

export type IoControl = z.infer<typeof ioControlSchema>;

/** The source of an output's value. */
export type ControlledBy = 'start' | 'command' | 'follow' | 'safe' | 'rule' | 'override' | 'exit';
/** accepted: under way. sent: taken by hardware that cannot be read back. verified: read back. unknown: not confirmed. */
export type CommandState = 'accepted' | 'sent' | 'verified' | 'failed' | 'expired' | 'unknown';

/** The `output` part of a report: the desired value of an output, beside its real one. */
export interface OutputReport {
  /** The desired value. The output keeps its own when `undefined`. */
  readonly desired?: PinValue;
  readonly by: ControlledBy;
  /** The reason, for people: `controller hall is lost`. */
  readonly why: string;
  /** The last command and its state. */
  readonly command?: {
    readonly val: PinValue;
    readonly state: CommandState;
    /** Name of the node that sent it, else its id. The same for the actor. */
    readonly node: string;
    readonly actor: string;
    /** Unix seconds of its arrival. */
    readonly at: number;
  };
  /** The override in force, until unix seconds. `kept: false`: it is not on the disk and ends with the process. */
  readonly override?: {
    readonly val: PinValue;
    readonly until: number;
    readonly node: string;
    readonly actor: string;
    readonly kept?: false;
  };
}

/** An IoMessage that states a pin's value. `last_change` distinguishes it from a command. */
export interface IoReport {
  readonly pin_name: string;
  readonly val: PinValue;
  /** Unix seconds at which `val` last changed. */
  readonly last_change: number;
  readonly quality: Quality;
  /** Why quality is not good. */
  readonly reason?: string;
  /** Unix seconds since which quality is not good. */
  readonly quality_since?: number;
  /** The hardware is simulated. */
  readonly simulated?: true;
  /** Unix seconds of the change by the hardware's own clock. */
  readonly source_time?: number;
  /** Counters: change of `val` per second (Hz when each edge counts 1). Negative when it counts down. */
  readonly rate?: number;
  /** Number of this pin's report since the agent's start. A gap is a lost report. */
  readonly seq: number;
  /** msg_id of the command or query that it answers. */
  readonly reply_to?: string;
  /** Outputs: the desired value and its reason. */
  readonly output?: OutputReport;
}

/** An IoMessage of any program on the bus: only `pin_name` is certain, because v1 peers send little else. */
export type IoMessage = Readonly<Record<string, unknown>> & { readonly pin_name: string; readonly val?: unknown };

/** Data of an IoErrorMessage: why a message was refused. */
export interface IoError {
  readonly pin_name?: string;
  readonly port?: string;
  readonly code: string;
  readonly message: string;
  /** The rule of the configuration that refused the command. */
  readonly rule?: string;
  readonly reply_to?: string;
}

/**
 * Bytes of a serial port. A message with `source_time` came from the hardware and is never sent out. A message without it
 * commands `data` to be sent.
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
  /** Number of bytes handed to the device, in the answer to a command. `data` is then empty. */
  readonly sent?: number;
  readonly reply_to?: string;
}

/** A pin in the birth message of its node. */
export interface PinInfo {
  readonly name: string;
  readonly kind: 'digital' | 'analog' | 'counter' | 'text';
  readonly direction: 'in' | 'out';
  readonly label?: string;
  /** Unit of measure: V, kW, °C. */
  readonly uom?: string;
  /** Device class, in Home Assistant's words: voltage, energy, switch. */
  readonly class?: string;
  /** Name of its port. */
  readonly port?: string;
  /** Outputs: lowest and highest value of a command. */
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
  /** Longest time (s) that the event loop was blocked within the last one to two minutes. */
  readonly loop_delay?: number;
}

/** The part of a NodeMessage that the agent supplies. */
export type NodeAbout = Pick<NodeMessage, 'pins' | 'loop_delay'>;

/** An IoMessage with `last_change` is a report, any other is a command. */
export function isReport(message: IoMessage): boolean {
  return message['last_change'] !== undefined;
}

/** Returns the IoMessage of a payload. `undefined` when it has none with a pin name. */
export function ioMessageOf(payload: Payload): IoMessage | undefined {
  const data = payload['IoMessage'];
  return isIoMessage(data) ? data : undefined;
}

export function isIoMessage(data: unknown): data is IoMessage {
  return isRecord(data) && typeof data['pin_name'] === 'string' && data['pin_name'] !== '';
}
