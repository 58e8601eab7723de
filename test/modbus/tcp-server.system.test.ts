import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModbusTcpServer } from '../../drivers/modbus/server/tcp-server.ts';
import { until } from '../support/wait.ts';

const READ = Buffer.from([0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 125]);

describe('a Modbus TCP server and misbehaving clients', () => {
  let server: ModbusTcpServer;
  let port: number;
  let answered: number;
  let gate: Promise<void>;
  const counters = new Map<string, number>();
  beforeEach(async () => {
    [answered, gate] = [0, Promise.resolve()];
    counters.clear();
    server = new ModbusTcpServer({
      host: '127.0.0.1',
      port: 0,
      maxClients: 4,
      count: (name, by = 1) => counters.set(name, (counters.get(name) ?? 0) + by),
      respond: async () => {
        answered++;
        await gate;
        return Buffer.alloc(252);
      },
    });
    port = await server.listen();
  });
  afterEach(() => server.close());

  it('answers no more to a client that never reads than the connection holds', async () => {
    const client = connect(port, '127.0.0.1');
    await once(client, 'connect');
    client.pause();
    const sent = 100_000;
    client.write(Buffer.concat(Array.from({ length: sent }, () => READ)));
    let before = -1;
    await until(
      'the server to rest',
      () => {
        const still = answered > 0 && answered === before;
        before = answered;
        return still;
      },
      20_000,
    );
    expect(answered).toBeLessThan(sent);
    client.resume();
    await until('all answers', () => answered === sent, 20_000);
    client.destroy();
  });

  it('drops the waiting requests of a client that has disconnected: they would be processed after newer commands of others', async () => {
    let open = () => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    const client = connect(port, '127.0.0.1');
    client.on('error', () => client.destroy());
    client.write(Buffer.concat([READ, READ, READ]));
    await until('the first request', () => answered === 1);
    client.resetAndDestroy();
    const probe = connect(port, '127.0.0.1');
    probe.write(READ);
    await until('the request of the other', () => answered === 2);
    open();
    await once(probe, 'data');
    probe.write(READ);
    await once(probe, 'data');
    expect(answered).toBe(3);
    expect(counters.get('requests_abandoned')).toBe(2);
    probe.destroy();
  });
});
