import { modbus } from '../../drivers/modbus/driver.ts';
import { conformance } from '../conformance/suite.ts';
import { Pymodbus } from './pymodbus.ts';

const server = new Pymodbus();

conformance('modbus over TCP, against pymodbus', {
  driver: modbus,
  options: () => ({ tcp: `127.0.0.1:${server.port}`, poll: '50ms' }),
  setup: () => server.start(),
  teardown: () => server.stop(),
  input: {
    keys: { input: 4, type: 'int16' },
    values: [-7, 1200],
    drive: (value) => server.set('input', 4, Number(value) & 0xffff),
  },
  output: {
    keys: { holding: 10 },
    values: [3, 60000],
    wrong: 65536,
    observe: async () => (await server.get('holding', 10))[0] ?? 'nothing',
    drive: (value) => server.set('holding', 10, Number(value)),
  },
  plug: { unplug: () => server.stop(), replug: () => server.start() },
});
