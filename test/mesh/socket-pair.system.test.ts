import { expect, it } from 'vitest';
import { Publisher } from 'zeromq';
import { newStats } from '../../src/mesh/stats.ts';
import { openSocketFactory } from '../../src/mesh/transport/socket-factory.ts';
import { SocketPair } from '../../src/mesh/v1/socket-pair.ts';
import { freePort } from '../support/free-port.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { ignoringPair } from './support/pair-listener.ts';

it('a socket pair goes on reading while it binds further hosts, however many frames come meanwhile', async () => {
  const log = memoryLog();
  const heard: string[] = [];
  const pair = new SocketPair(await openSocketFactory(newStats(), log), 'broker', {
    ...ignoringPair,
    onFrame: (text) => void heard.push(text),
  });
  const publisher = new Publisher({ linger: 0, reconnectInterval: 1 });
  const flood = setInterval(() => void publisher.send('frame'), 0);
  try {
    const [rx, tx] = [await freePort(), await freePort()];
    publisher.connect(`tcp://127.0.1.1:${rx}`);
    const hosts = Array.from({ length: 400 }, (_, at) => `127.0.${1 + Math.floor(at / 250)}.${1 + (at % 250)}`);
    expect(await pair.bind(hosts, rx, tx)).toEqual({ rx, tx });
    const before = heard.length;
    await until('frames after the bind', () => heard.length > before + 5);
    expect(log.lines).toEqual([]);
  } finally {
    clearInterval(flood);
    publisher.close();
    pair.close(0);
  }
});
