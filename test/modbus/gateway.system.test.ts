import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Request } from '../../drivers/modbus/protocol/request.ts';
import { encodePdu } from '../../drivers/modbus/protocol/request.ts';
import { gatewayResponder, parseRequest } from '../../drivers/modbus/server/gateway.ts';
import { ModbusTcpServer } from '../../drivers/modbus/server/tcp-server.ts';
import { MbapTransport } from '../../drivers/modbus/transport/mbap-transport.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { openTcp } from '../../src/driver/kit/link.ts';
import { FaultySlave } from './faulty-slave.ts';
import { channelOf, Owner } from './owner.ts';

const quiet = () => undefined;

describe('a request stays the same through encoding and parsing', () => {
  const word = fc.integer({ min: 0, max: 0xffff });
  const data = fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.concat([bytes, bytes]));
  const requests = fc.oneof(
    fc.record({
      kind: fc.constant('read' as const),
      table: fc.constantFrom('coil', 'discrete', 'holding', 'input'),
      first: word,
      count: word,
    }),
    fc.record({ kind: fc.constant('write-coil' as const), at: word, on: fc.boolean() }),
    fc.record({ kind: fc.constant('write-register' as const), at: word, word }),
    fc.record({
      kind: fc.constant('write-coils' as const),
      first: word,
      bits: fc.array(fc.boolean(), { minLength: 1, maxLength: 99 }),
    }),
    fc.record({ kind: fc.constant('write-registers' as const), first: word, data }),
    fc.record({ kind: fc.constant('mask-register' as const), at: word, and: word, or: word }),
    fc.record({ kind: fc.constant('read-write-registers' as const), first: word, count: word, writeFirst: word, data }),
  );

  it('in every function', () => {
    fc.assert(
      fc.property(requests, (one) => {
        const request: Request = { unit: 7, ...one };
        expect(parseRequest(7, encodePdu(request))).toEqual(request);
      }),
    );
  });

  it('and parsing throws for no bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
        expect(() => parseRequest(1, Buffer.from(bytes))).not.toThrow();
      }),
    );
  });
});

describe('a gateway in front of a device that accepts one master only', () => {
  const slave = new FaultySlave();
  let owner: Owner;
  let server: ModbusTcpServer;
  let inner: MbapTransport;
  let tcp: string;

  beforeEach(async () => {
    const port = await slave.listen();
    inner = new MbapTransport(
      { clock: systemClock, unit: () => ({ timeoutMs: 100, pauseMs: 0 }), concurrency: 1, datagrams: false },
      { count: quiet, unitReleased: quiet, down: quiet },
    );
    await inner.start((events) => openTcp({ host: '127.0.0.1', port }, systemClock, 2000, events));
    const respond = gatewayResponder((request) => inner.transact(request));
    server = new ModbusTcpServer({ host: '127.0.0.1', port: 0, respond, maxClients: 8, count: quiet });
    tcp = `127.0.0.1:${await server.listen()}`;
  });
  afterEach(async () => {
    await owner.close();
    await server.close();
    await inner.close();
    await slave.close();
  });

  it('passes on values, writes, refusals and missing answers', async () => {
    const [ten, coil] = [
      channelOf({ holding: 10 }, { direction: 'out' }),
      channelOf({ coil: 2 }, { direction: 'out' }),
    ];
    owner = new Owner({ tcp, poll: '1h' }, [ten, coil]);
    const port = await owner.open();
    expect(await port.read([ten])).toEqual([{ ok: true, value: 1010 }]);
    expect(await port.write(ten, 5)).toEqual({ readBack: 5 });
    expect(await port.write(coil, true)).toEqual({ readBack: true });
    // A function that the driver itself does not know.
    expect(await gatewayResponder((request) => inner.transact(request))(1, Buffer.from([5, 0, 9, 0xff, 0]))).toEqual(
      Buffer.from([5, 0, 9, 0xff, 0]),
    );
    slave.script = () => ({ do: 'exception', code: 2 });
    expect(await port.read([ten])).toMatchObject([{ error: { code: 'NO_SUCH_CHANNEL' } }]);
    slave.script = () => ({ do: 'silent' });
    expect(await port.read([ten])).toMatchObject([{ error: { code: 'TIMEOUT', exception: 11 } }]);
    await inner.close();
    expect(await port.read([ten])).toMatchObject([{ error: { exception: 10 } }]);
  });
});
