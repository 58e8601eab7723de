import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { newStats } from '../../src/mesh/stats.ts';
import { openSocketFactory } from '../../src/mesh/transport/socket-factory.ts';
import { CONTACT_EXPIRY_MS, Dialer } from '../../src/mesh/v1/dialer.ts';
import { SocketPair } from '../../src/mesh/v1/socket-pair.ts';
import { until } from '../support/wait.ts';
import { quietLog } from './support/log.ts';
import { ignoringPair } from './support/pair-listener.ts';

const pairs: SocketPair[] = [];
afterEach(() => {
  for (const pair of pairs.splice(0)) pair.close(0);
});

async function bench() {
  const stats = newStats();
  const sockets = await openSocketFactory(stats, quietLog);
  const clock = new ManualClock();
  const pair = new SocketPair(sockets, 'client', {
    ...ignoringPair,
    onUp: (_pair, endpoint) => dialer.up(endpoint),
    onDown: (_pair, endpoint) => dialer.down(endpoint),
  });
  const dialer = new Dialer(pair, clock, sockets);
  const server = new SocketPair(sockets, 'server', ignoringPair);
  pairs.push(pair, server);
  const ports = await server.bind(['127.0.0.1'], 0, 0);
  if (!ports) throw new Error('no free ports');
  return { stats, clock, pair, dialer, ports };
}

describe('a process whose contact comes with different lists of addresses', () => {
  // The process itself names all of them, one of which is unreachable; others name the one that answers.
  const all = ['127.0.0.1', '127.0.0.77'];
  const one = ['127.0.0.1'];

  it.each([
    [all, one],
    [one, all],
  ])('stays linked when the address that is dead is given up: %j, then %j', async (first, second) => {
    const { clock, pair, dialer, ports, stats } = await bench();
    const up = () => pair.isUp({ host: '127.0.0.1', ...ports });
    dialer.dial({ addresses: first, ports }, []);
    dialer.dial({ addresses: second, ports }, []);
    await until('the link', up);
    await clock.advance(CONTACT_EXPIRY_MS + 1);
    dialer.sweep();
    expect(stats.expiredContacts).toBe(0);
    expect(up()).toBe(true);
    expect(dialer.verified()).toEqual([{ addresses: one, ports }]);
  });
});

describe('an endless list of contacts', () => {
  it('is dialled up to a limit, and counted beyond it', async () => {
    const { dialer, stats } = await bench();
    for (let at = 0; at < 1100; at++) {
      const address = `127.1.${at >> 8}.${at & 255}`;
      dialer.dial({ addresses: [address], ports: { rx: 1, tx: 2 } }, []);
    }
    expect(stats.badContacts).toBe(76);
  });
});
