import { afterAll } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import { conformance, type Fixture } from '../../src/testing/conformance.ts';
import { PtyPair } from './pty-pair.ts';
import { Pymodbus } from './pymodbus.ts';

const fixtureOf = (server: Pymodbus): Omit<Fixture, 'options' | 'setup' | 'teardown'> => ({
  driver: modbus,
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
});

for (const way of ['tcp', 'tcp-rtu'] as const) {
  const server = new Pymodbus(way);
  conformance(`modbus over ${way}, against pymodbus`, {
    ...fixtureOf(server),
    options: () => ({
      tcp: `127.0.0.1:${server.port || 502}`,
      poll: '50ms',
      // After a closed connection three response timeouts pass, in which a device server might pass on a late reply.
      ...(way === 'tcp-rtu' ? { framing: 'rtu', timeout: '400ms' } : {}),
    }),
    setup: () => server.start(),
    teardown: () => server.stop(),
    plug: { unplug: () => server.stop(), replug: () => server.start() },
  });
}

const datagrams = new Pymodbus('udp');
conformance('modbus over udp, against pymodbus', {
  ...fixtureOf(datagrams),
  options: () => ({ udp: `127.0.0.1:${datagrams.port || 502}`, poll: '50ms' }),
  setup: () => datagrams.start(),
  teardown: () => datagrams.stop(),
});

for (const way of ['rtu', 'ascii'] as const) {
  const cable = new PtyPair();
  const server = new Pymodbus(way, cable.slave);
  const plug = async () => {
    await cable.plug();
    await server.start();
  };
  const unplug = async () => {
    await server.stop();
    await cable.unplug();
  };
  afterAll(() => cable.remove());
  conformance(`modbus ${way} on a pty, against pymodbus`, {
    ...fixtureOf(server),
    options: () => ({ serial: cable.master, framing: way, line: '115200-8N1', poll: '50ms' }),
    setup: plug,
    teardown: unplug,
    plug: { unplug, replug: plug },
  });
}
