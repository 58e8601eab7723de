import type { Channel, Driver, Remark } from '../../src/driver/contract.ts';
import { detectSerialPorts, serialAccess } from '../../src/driver/kit/serial-ports.ts';
import { pinSchema, type SerialAddress } from './address.ts';
import { readKeys } from './dlms/keys.ts';
import { networkPath } from './line/network-path.ts';
import { openTransport, pathOf } from './line/open.ts';
import { optionsSchema, type SerialOptions } from './options.ts';
import { SerialPort } from './port.ts';

/** Serial devices with framed messages: text or bytes become pins, and SerialPortMessages go both ways. */
export const serial: Driver<SerialOptions, SerialAddress> = {
  contract: 1,
  name: 'serial',
  summary: 'a serial device: frames in, a regular expression makes a pin of each capture; commands and bytes out',
  options: optionsSchema,
  pin: pinSchema,
  describe: ({ key, kind, command, control }) => ({
    key,
    kind,
    directions: command || control === 'dtr' || control === 'rts' || control === 'break' ? ['out'] : ['in'],
  }),
  claims: ({ path }) => path,
  review: (options, channels) => [...channels.flatMap(unitRemarks), ...controlRemarks(options, channels)],
  access: serialAccess,
  detect: () => detectSerialPorts((path) => ({ path, line: '9600-8N1', framing: { delimiter: '\r\n' } })),
  // A replugged adapter works again within 2 s, including the time to open it.
  reopenMs: 1000,
  async open(options, channels, context) {
    const path = pathOf(options);
    const keys = readKeys(options.key, options.authentication_key);
    const port = new SerialPort(options, path, channels, context, keys);
    await context.reclaim?.();
    const opened = await openTransport(path, options, context, port.events);
    if (opened.kind === 'skipped') return opened;
    try {
      await port.begin(opened.transport);
    } catch (error) {
      await port.close();
      throw error;
    }
    return { kind: 'port', port };
  },
};

/** Modem control lines on a port that has none. */
function controlRemarks({ path }: SerialOptions, channels: readonly Channel<SerialAddress>[]): Remark[] {
  if (networkPath(path ?? '')?.scheme !== 'tcp') return [];
  return channels.flatMap(({ key, address: { control } }): Remark[] => {
    if (!control) return [];
    const expected = 'a serial port of this machine, or rfc2217://';
    return [{ channel: key, key: 'control', message: `a tcp:// port has no line ${control}`, expected, fatal: true }];
  });
}

/** A pin whose device says the unit must say its own, or else words for units in numbers of it. */
function unitRemarks({ key, uom, address: { source } }: Channel<SerialAddress>): Remark[] {
  const words = Object.values(source?.unit?.words ?? {});
  const enough = words.length > 0 && words.every(({ unit }) => unit === undefined);
  if (!source?.unit || uom !== undefined || enough) return [];
  return [
    {
      channel: key,
      message: 'match has a capture named uom, the unit that the device says; the pin says none',
      expected: 'uom: the unit of the pin, like kg; or units: { kg: 1, g: 0.001 }',
      fatal: true,
    },
  ];
}
