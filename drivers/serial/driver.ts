import type { Driver } from '../../src/driver/driver.ts';
import { DelimiterFramer } from './framing/delimiter.ts';
import { optionsSchema, pinSchema, type SerialAddress, type SerialOptions } from './options.ts';
import { kindOfType } from './pattern.ts';
import { SerialPort } from './port.ts';
import { Tty } from './tty.ts';

/** Serial devices that speak in frames: text lines become pins by regular expressions, and SerialPortMessages both ways. */
export const serial: Driver<SerialOptions, SerialAddress> = {
  name: 'serial',
  summary: 'a serial device: frames in, a regular expression makes a pin of each capture; bytes out',
  options: optionsSchema,
  pin: pinSchema,
  describe: ({ match, type }) => ({
    key: `${match.source} as ${type}`,
    kind: kindOfType[type],
    directions: ['in'],
  }),
  async open(options, channels, context) {
    const { delimiter, max } = options.framing;
    const port = new SerialPort(options, channels, (sink) => new DelimiterFramer(delimiter, max, sink), context);
    const opened = await Tty.open(options.path, options.line, context.clock, port.events);
    if (opened.kind === 'skipped') return opened;
    port.use(opened.tty);
    return { kind: 'port', port };
  },
};
