import { z } from 'zod';
import type { NetworkTarget } from '../../src/driver/kit/link.ts';
import { durationSchema, lineSchema } from '../../src/driver/kit/schemas.ts';
import { type UsbIds, usbSchema } from '../../src/driver/kit/serial-ports.ts';
import { unitSchema } from './address.ts';
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
  line: lineSchema.prefault('9600-8N1').describe('line settings of a serial port: 9600-8N1, 19200-8E1'),
  echo: z
    .enum(['off', 'strip', 'auto'])
    .prefault('auto')
    .describe('serial: whether the adapter echoes what is sent; auto detects it'),
  rs485: z
    .enum(['off', 'kernel', 'rts'])
    .prefault('off')
    .describe(
      'switching of an RS-485 transceiver: off (it switches by itself), by the kernel, or by this process with RTS',
    ),
  pause: durationSchema.prefault('0ms').describe('silence before each request, beyond that of the standard'),
  turnaround: durationSchema.prefault('100ms').describe('time the units get after a broadcast (unit 0)'),
  unit: unitSchema.prefault(1).describe('Modbus address of pins without unit'),
  timeout: durationSchema.optional().describe('response timeout; default 800ms, on a serial line 500ms'),
  write: writeSchema.optional().describe('the functions that its devices take writes with'),
  poll: durationSchema.prefault('1s').describe('poll period of pins without poll'),
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
});

/** The keys of a Modbus port: how its devices are reached, and defaults that a pin may override. */
export const optionsSchema = keysSchema.transform((keys, context) => {
  const { tcp, udp, serial, usb, framing, ...rest } = keys;
  const network = tcp !== undefined || udp !== undefined;
  const stream = framing ?? (network ? 'tcp' : 'rtu');
  const [path, message] = optionsMistake(keys, stream) ?? [];
  if (path !== undefined && message !== undefined) {
    context.addIssue({ code: 'custom', path: [path], message });
    return z.NEVER;
  }
  const timeout = rest.timeout ?? (network ? 800 : 500);
  return { ...rest, timeout, link: linkOf(keys), framing: stream };
});

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

/** Keys that do not go together: the key at fault and the message. */
function optionsMistake(
  { tcp, udp, serial, usb, in_flight }: ModbusKeys,
  stream: 'tcp' | 'rtu' | 'ascii',
): [string, string] | undefined {
  const given = [tcp, udp, serial, usb].filter((one) => one !== undefined).length;
  if (given !== 1)
    return ['tcp', `exactly one of tcp, udp, serial, usb: ${given === 0 ? 'none is' : `${given} are`} given`];
  if (tcp === undefined && udp === undefined && stream === 'tcp')
    return ['framing', 'a serial line has rtu or ascii frames'];
  if (udp !== undefined && stream !== 'tcp') return ['framing', 'over UDP only tcp frames are possible'];
  if (stream !== 'tcp' && in_flight > 1) return ['in_flight', `${stream} frames carry no number: one at a time`];
  return undefined;
}

export type ModbusOptions = z.output<typeof optionsSchema>;
