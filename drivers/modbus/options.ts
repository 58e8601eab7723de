import { z } from 'zod';
import type { DurationMs } from '../../src/clock/clock.ts';
import type { NetworkTarget } from '../../src/driver/kit/link.ts';
import { durationSchema, type LineSettings, lineSchema } from '../../src/driver/kit/schemas.ts';
import { type UsbIds, usbSchema } from '../../src/driver/kit/serial-ports.ts';
import { unitSchema } from './address.ts';
import { lossMistakes } from './loss.ts';
import { replyQuirks } from './quirks.ts';
import { writeSchema } from './write-functions.ts';

/** `192.168.1.10`, `plc.local:1502`, `[fe80::1]:502`. */
const TARGET = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/;
export const MODBUS_PORT = 502;

export const targetSchema = z
  .string()
  .regex(TARGET, { error: 'host or host:port, like 192.168.1.10:502' })
  .transform((text, context) => {
    const found = TARGET.exec(text);
    const port = found?.[3] === undefined ? MODBUS_PORT : Number(found[3]);
    if (port < 1 || port > 0xffff) context.addIssue({ code: 'custom', message: 'a port is 1 to 65535' });
    return { host: found?.[1] ?? found?.[2] ?? '', port };
  })
  .meta({ title: 'host:port', examples: ['192.168.1.10:502'] });

const connectSchema = z.strictObject({
  pause: durationSchema
    .refine((pause) => pause <= 10_000, { error: 'at most 10s' })
    .optional()
    .describe('silence after connecting, before the first request, for devices that need a rest: 1s; default 0ms'),
  close_after: z
    .enum(['idle', 'each'])
    .optional()
    .describe(
      'close the connection when nothing is asked for 100 ms (idle) or after each reply (each), so that other masters of the device get their turn; default: it stays open, and is made again when the device has closed it',
    ),
});

const keysSchema = z.strictObject({
  tcp: targetSchema.optional().describe('a device or gateway over TCP: host or host:port (502)'),
  udp: targetSchema.optional().describe('a device or gateway over UDP: host or host:port (502)'),
  serial: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'a serial line, best by its fixed name: /dev/serial/by-id/…', examples: ['/dev/ttyUSB0'] }),
  usb: usbSchema.optional().describe('a serial adapter by its USB ids instead of a path; looked up at every opening'),
  framing: z
    .enum(['tcp', 'rtu', 'ascii'])
    .optional()
    .describe('framing; default tcp over a network and rtu on a serial line'),
  connect: connectSchema.optional().describe('TCP: how the connection to the device is used'),
  line: lineSchema.optional().describe('serial: settings of the line, like 19200-8E1; default 9600-8N1'),
  echo: z
    .enum(['off', 'strip', 'auto'])
    .optional()
    .describe('serial: whether the adapter echoes what is sent; default auto: it is detected'),
  rs485: z
    .enum(['off', 'kernel', 'rts'])
    .optional()
    .describe(
      'serial: switching of an RS-485 transceiver: off (default: it switches by itself), by the kernel, or by this process with RTS',
    ),
  pause: durationSchema
    .prefault('0ms')
    .describe('silence before each request, the first one too; on a serial line beyond that of the standard'),
  turnaround: durationSchema
    .optional()
    .describe('rtu and ascii: time the units get after a broadcast (unit 0); default 100ms'),
  unit: unitSchema.prefault(1).describe('Modbus address of pins without unit'),
  timeout: durationSchema.optional().describe('response timeout; default 800ms, on a serial line 500ms'),
  write: writeSchema.optional().describe('the functions that its devices take writes with'),
  poll: durationSchema.prefault('1s').describe('poll period of pins without poll'),
  retries: z
    .int()
    .min(0)
    .max(10)
    .prefault(2)
    .describe('how often a read is repeated at once that got no answer or a damaged one'),
  misses: z
    .int()
    .min(1)
    .max(1000)
    .prefault(8)
    .describe('requests in a row without an answer, repetitions included, after which a unit counts as lost'),
  uncertain_after: durationSchema
    .optional()
    .describe(
      'a value older than its poll period and this is uncertain; default: twice the time of misses requests without answer',
    ),
  bad_after: durationSchema
    .optional()
    .describe('a value older than its poll period and this is bad; default: twice uncertain_after'),
  max_gap: z
    .int()
    .min(0)
    .max(124)
    .optional()
    .describe('unrequested registers that may be read along to save a request; default: as many as save time'),
  in_flight: z
    .int()
    .min(1)
    .max(16)
    .prefault(1)
    .describe(
      'requests under way at once; more than 1 only with a device (no gateway) whose transaction ids can be trusted',
    ),
  quirks: z
    .strictObject(replyQuirks)
    .optional()
    .describe('what the replies of an odd gateway may be like; quirks of a pin or device are added'),
});

/** The keys of a Modbus port: how its devices are reached, and defaults that a pin may override. */
export const optionsSchema = keysSchema.transform((keys, context) => {
  const { tcp, udp, serial, usb, framing, ...rest } = keys;
  const network = tcp !== undefined || udp !== undefined;
  const stream = framing ?? (network ? 'tcp' : 'rtu');
  const timeout = rest.timeout ?? (network ? 800 : 500);
  const mistakes = [...optionsMistakes(keys, stream), ...lossMistakes({ ...rest, timeout })];
  for (const { key, message } of mistakes) context.addIssue({ code: 'custom', path: key.split('.'), message });
  if (mistakes.length > 0) return z.NEVER;
  return {
    ...rest,
    link: linkOf(keys),
    framing: stream,
    timeout,
    line: rest.line ?? DEFAULT_LINE,
    echo: rest.echo ?? ('auto' as const),
    rs485: rest.rs485 ?? ('off' as const),
    turnaround: rest.turnaround ?? DEFAULT_TURNAROUND_MS,
  };
});

export const DEFAULT_LINE: LineSettings = { baud: 9600, dataBits: 8, parity: 'none', stopBits: 1 };
const DEFAULT_TURNAROUND_MS: DurationMs = 100;

/** A serial line: its path, or the USB ids of its adapter. */
export type SerialDevice = string | UsbIds;

type ModbusKeys = z.output<typeof keysSchema>;

/** The link to the devices. */
type DeviceLink =
  | { readonly by: 'tcp'; readonly target: NetworkTarget }
  | { readonly by: 'udp'; readonly target: NetworkTarget }
  | { readonly by: 'serial'; readonly device: SerialDevice };

function linkOf({ tcp, udp, serial, usb }: ModbusKeys): DeviceLink {
  if (tcp !== undefined) return { by: 'tcp', target: tcp };
  return udp !== undefined ? { by: 'udp', target: udp } : { by: 'serial', device: serial ?? usb ?? '' };
}

interface KeyMistake {
  /** The key at fault, `quirks.unit_id` for a nested one. */
  readonly key: string;
  readonly message: string;
}

type Stream = 'tcp' | 'rtu' | 'ascii';

/** Keys that do not go together, or have no effect where they stand. */
function optionsMistakes(keys: ModbusKeys, stream: Stream): KeyMistake[] {
  const link = linkMistake(keys, stream);
  return link ? [link] : [...keysWithoutEffect(keys, stream), ...orderMistakes(keys, stream)];
}

function linkMistake({ tcp, udp, serial, usb }: ModbusKeys, stream: Stream): KeyMistake | undefined {
  const given = [tcp, udp, serial, usb].filter((one) => one !== undefined).length;
  if (given !== 1) {
    const found = given === 0 ? 'none is' : `${given} are`;
    return { key: 'tcp', message: `exactly one of tcp, udp, serial, usb: ${found} given` };
  }
  if (tcp === undefined && udp === undefined && stream === 'tcp')
    return { key: 'framing', message: 'a serial line has rtu or ascii frames' };
  if (udp !== undefined && stream !== 'tcp')
    return { key: 'framing', message: 'over UDP only tcp frames are possible' };
  return undefined;
}

function keysWithoutEffect(keys: ModbusKeys, stream: Stream): KeyMistake[] {
  const network = keys.tcp !== undefined || keys.udp !== undefined;
  const serialOnly = (['line', 'echo', 'rs485'] as const).filter((key) => network && keys[key] !== undefined);
  return [
    ...serialOnly.map((key) => ({
      key,
      message: `${key} has no effect over a network: it belongs to a serial line of this machine; a gateway has settings of its own`,
    })),
    ...(keys.turnaround !== undefined && stream === 'tcp'
      ? [{ key: 'turnaround', message: 'turnaround has no effect with tcp frames: unit 0 is an ordinary unit there' }]
      : []),
    ...(keys.connect !== undefined && keys.tcp === undefined
      ? [{ key: 'connect', message: 'connect has no effect without a TCP connection; it goes with tcp' }]
      : []),
    ...(keys.quirks?.transaction_id !== undefined && stream !== 'tcp'
      ? [{ key: 'quirks.transaction_id', message: `${stream} frames have no transaction id` }]
      : []),
  ];
}

/** Mistakes about requests under way at once, and about what tells their replies apart. */
function orderMistakes({ udp, in_flight, pause, connect, quirks }: ModbusKeys, stream: Stream): KeyMistake[] {
  const mistakes: KeyMistake[] = [];
  const several = in_flight > 1;
  const alone = (key: string, why: string) => mistakes.push({ key, message: `${why}: one at a time (in_flight: 1)` });
  if (several && stream !== 'tcp') alone('in_flight', `${stream} frames carry no number`);
  if (several && pause > 0) alone('pause', 'silence before each request needs the others to be over');
  if (several && connect?.close_after === 'each')
    alone('connect.close_after', 'the others are lost when the connection is closed after a reply');
  if (several && quirks?.transaction_id) alone('quirks.transaction_id', 'only the transaction id tells replies apart');
  if (several && quirks?.unit_id) alone('quirks.unit_id', 'the unit is needed to tell replies apart');
  if (udp !== undefined && quirks?.transaction_id)
    mistakes.push({ key: 'quirks.transaction_id', message: 'over UDP only the transaction id tells a late reply' });
  return mistakes;
}

export type ModbusOptions = z.output<typeof optionsSchema>;
