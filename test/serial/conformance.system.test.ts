import { serial } from '../../drivers/serial/driver.ts';
import { conformance } from '../../src/testing/conformance.ts';
import { Device } from './device.ts';

const device = new Device();
let shown: string | undefined;
let talk: NodeJS.Timeout | undefined;

/** A device as most are: it repeats its line for ever. */
conformance('serial', {
  driver: serial,
  options: () => ({ path: device.path }),
  input: {
    keys: { match: '^T=([-0-9.]+)$' },
    values: [20.5, -3],
    drive: async (value) => {
      shown = `T=${value}\r\n`;
      device.say(shown);
    },
  },
  plug: { unplug: () => device.unplug(), replug: () => device.plug() },
  setup: async () => {
    shown = undefined;
    await device.plug();
    talk = setInterval(() => shown && device.say(shown), 10);
  },
  teardown: async () => {
    clearInterval(talk);
    await device.unplug();
  },
});
