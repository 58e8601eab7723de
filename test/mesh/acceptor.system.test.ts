import { expect, it } from 'vitest';
import { Dealer } from 'zeromq';
import { Acceptor } from '../../src/mesh/peer/acceptor.ts';
import { newStats } from '../../src/mesh/stats.ts';
import { openSocketFactory } from '../../src/mesh/transport/socket-factory.ts';
import { freePort } from '../support/free-port.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

it('an acceptor goes on reading after one frame has caused an exception', async () => {
  const log = memoryLog();
  const stats = newStats();
  const heard: unknown[] = [];
  const acceptor = new Acceptor(await openSocketFactory(stats, log, undefined), {
    onCallerFrame(frame) {
      if (frame['bad']) throw new Error('an unexpected error');
      heard.push(frame);
      return undefined;
    },
  });
  const dealer = new Dealer({ linger: 0 });
  try {
    dealer.connect(`tcp://127.0.0.1:${await acceptor.bind('127.0.0.1')}`);
    await dealer.send('{"bad":1}');
    await dealer.send('{"good":1}');
    await until('the second frame', () => heard.length > 0);
    expect(heard).toEqual([{ good: 1 }]);
    expect(stats.malformed).toBe(1);
    expect(log.lines.at(-1)).toMatchObject({ level: 'error', message: expect.stringContaining('an unexpected error') });
  } finally {
    dealer.close();
    acceptor.close(0);
  }
});

it('an acceptor goes on reading while it binds further addresses, however many frames come meanwhile', async () => {
  const log = memoryLog();
  const heard: unknown[] = [];
  const acceptor = new Acceptor(await openSocketFactory(newStats(), log, undefined), {
    onCallerFrame(frame) {
      heard.push(frame);
      return undefined;
    },
  });
  const dealer = new Dealer({ linger: 0 });
  try {
    dealer.connect(`tcp://127.0.0.1:${await acceptor.bind('127.0.0.1')}`);
    const port = await freePort();
    const binding = acceptor.bindMore(
      Array.from({ length: 50 }, (_, at) => `127.0.1.${at + 1}`),
      port,
    );
    for (let n = 0; n < 200; n++) await dealer.send(`{"n":${n}}`);
    await binding;
    await dealer.send('{"last":1}');
    await until('the last frame', () => heard.length === 201);
    expect(log.lines).toEqual([]);
  } finally {
    dealer.close();
    acceptor.close(0);
  }
});
