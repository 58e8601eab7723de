import { describe, expect, it } from 'vitest';
import { Connection, type ConnectionOptions } from '../../drivers/modbus/transport/connection.ts';
import { SendTiming } from '../../drivers/modbus/transport/send-timing.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { LinkEvents } from '../../src/driver/kit/link.ts';
import { DcsError } from '../../src/errors/errors.ts';

const closing = new DcsError('PORT_DOWN', 'the device closed the connection');

/** A connection whose device is played by the test. `links` holds the events of each connection that was made. */
async function connected(options: Partial<ConnectionOptions> = {}) {
  const clock = new ManualClock();
  const links: LinkEvents[] = [];
  const downs: DcsError[] = [];
  /** What arrives while a link catches up. */
  const unread = { deliver: (): void => undefined };
  const connect = async (events: LinkEvents) => {
    links.push(events);
    return { send: () => undefined, catchUp: () => unread.deliver(), close: () => Promise.resolve() };
  };
  const connection = await Connection.open(
    connect,
    { clock, pauseMs: 0, closeAfter: undefined, count: () => undefined, ...options },
    { data: () => undefined, opened: () => undefined, closed: () => undefined, down: (error) => downs.push(error) },
  );
  const answer = () => {
    links.at(-1)?.data(Buffer.from([1]));
    connection.requestEnded(true);
  };
  /** One request with its answer; `write`: it must not meet the closing. Returns on which connection. */
  const exchange = async (write = false) => {
    await connection.prepare(1, { fresh: write });
    connection.send(Buffer.from([0]));
    answer();
    return links.length;
  };
  return { clock, connection, links, downs, unread, answer, exchange };
}

describe('a connection that the device closes', () => {
  it('before anything was sent, as soon as the link catches up: after the third in a row the link is lost', async () => {
    const { connection, links, downs, unread } = await connected();
    unread.deliver = () => links.at(-1)?.down(closing);
    const timing = new SendTiming(new ManualClock());
    const request = { kind: 'read', unit: 1, table: 'holding', first: 0, count: 1 } as const;
    const needs = { silenceMs: 0, expiresAt: Number.POSITIVE_INFINITY, exposed: true };
    await expect(timing.wait(connection, request, needs)).rejects.toMatchObject({ code: 'PORT_DOWN' });
    expect(links.length).toBe(3);
    expect(downs).toMatchObject([{ message: expect.stringContaining('before anything is asked') }]);
  });

  it('after each reply, with several requests under way: the one that waits gets a new connection', async () => {
    const { clock, connection, links, downs, unread, answer, exchange } = await connected();
    await exchange();
    await exchange(true);
    expect(links.length).toBe(2);
    await clock.advance(200);
    links.at(-1)?.down(closing);
    await connection.prepare(1);
    connection.send(Buffer.from([0]));
    // The reply arrives while a write lets the link catch up.
    unread.deliver = answer;
    await connection.prepare(1, { fresh: true });
    expect(connection.ready()).toBe(true);
    expect(links.length).toBe(4);
    expect(downs).toEqual([]);
  });

  it.each([
    { what: 'its first reply', replies: 1 },
    { what: 'a later reply', replies: 3 },
  ])(
    'once, by chance, right after $what: writes use the present connection again after a while',
    async ({ replies }) => {
      const { clock, connection, links, exchange } = await connected();
      for (let done = 0; done < replies; done++) await exchange();
      await clock.advance(5);
      links.at(-1)?.down(closing);
      const second = async (write: boolean) => {
        await clock.advance(1000);
        return exchange(write);
      };
      const before = links.length;
      expect(await second(true)).toBe(before + 1);
      for (let round = 0; round < 10; round++) await second(false);
      await second(true);
      const settled = links.length;
      for (let round = 0; round < 20; round++) await second(round % 2 === 0);
      expect(links.length).toBe(settled);
      await connection.close();
    },
  );

  it('at different times after its replies: a write does not meet the closing', async () => {
    const { clock, links, exchange } = await connected();
    for (const _ of [1, 2, 3]) await exchange();
    for (let round = 0; round < 50; round++) {
      await clock.advance(400 + 20 * (round % 5));
      if (round % 3 === 0) links.at(-1)?.down(closing);
      await exchange();
    }
    const before = links.length;
    await clock.advance(390);
    expect(await exchange(true)).toBe(before + 1);
  });
});
