import { createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { type OpenedPort, openPort } from '../support/ports.ts';
import { until } from '../support/wait.ts';

/** A device server whose scale answers `W?` with a weight. */
const sockets = new Set<Socket>();
let connections = 0;
let weight = 1;
/** What the server does with each new connection. */
let greet: (socket: Socket) => void = () => undefined;
/** What the server does after each answer. */
let afterAnswer: (socket: Socket) => void = () => undefined;
const server = createServer((socket) => {
  connections++;
  sockets.add(socket);
  greet(socket);
  socket.on('close', () => sockets.delete(socket));
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes) => {
    if (!bytes.toString().includes('W?')) return;
    socket.write(`W ${weight}\r\n`);
    afterAnswer(socket);
  });
});

let made: OpenedPort;
let readings: Reading[] = [];

async function open(options: object, keys: object): Promise<void> {
  readings = [];
  made = await openPort(serial, { path, framing: { delimiter: '\r\n' }, ...options }, [{ keys, direction: 'in' }]);
  for (const channel of made.channels) made.listen(channel, (reading) => readings.push(reading));
}

let path = '';
beforeEach(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  path = `tcp://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  connections = 0;
  greet = () => undefined;
  afterAnswer = () => undefined;
});
afterEach(async () => {
  await made.port.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

describe('a device server that closes connections', () => {
  it.each([0, 30])('%i ms after each answer: every value comes, and the port stays open', async (ms) => {
    afterAnswer = (socket) => void setTimeout(() => socket.end(), ms);
    await open({ timeout: '300ms' }, { match: '^W ([0-9]+)$', ask: 'W?\r\n', poll: '150ms' });
    for (weight = 1; weight <= 5; weight++) {
      await until(`${weight}`, () => readings.some((reading) => reading.ok && reading.value === weight));
    }
    expect(connections).toBeGreaterThan(3);
    expect(made.downs).toEqual([]);
    expect(readings.filter(({ ok }) => !ok)).toEqual([]);
  });

  it('after a greeting, because another client has the line: it is asked ever more rarely', async () => {
    greet = (socket) => {
      socket.write('port already in use\r\n');
      setTimeout(() => socket.end(), 20);
    };
    await open({}, { match: '^W ([0-9]+)$' });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(connections).toBeLessThan(9);
    greet = (socket) => void socket.write('W 3\r\nW 4\r\n');
    await until('the value', () => readings.some((reading) => reading.ok && reading.value === 4));
    expect(made.downs).toEqual([]);
  });

  it('in the middle of a frame: the halves of two connections make no frame', async () => {
    await open({}, { match: '^W ([0-9]+)$' });
    await until('the connection', () => sockets.size === 1);
    for (const socket of sockets) {
      socket.write('W 1');
      setTimeout(() => socket.end(), 20);
    }
    await until('the next connection', () => connections === 2 && sockets.size === 1);
    for (const socket of sockets) socket.write('2\r\nW 7\r\n');
    await until('the next value', () => readings.some((reading) => reading.ok && reading.value === 7));
    expect(readings.filter((reading) => reading.ok).map((reading) => reading.ok && reading.value)).toEqual([7]);
    expect(made.downs).toEqual([]);
  });

  it('right after a command that it does not answer: the port is lost, because the command may be', async () => {
    afterAnswer = () => undefined;
    await open({}, { match: '^W ([0-9]+)$' });
    await until('the connection', () => sockets.size === 1);
    for (const socket of sockets) socket.once('data', () => socket.end());
    await made.port.stream?.send(Buffer.from('ON\r\n'));
    await until('the loss', () => made.downs.length === 1);
  });

  it('and takes no new one: the port is lost', async () => {
    await open({}, { match: '^W ([0-9]+)$' });
    await until('the connection', () => sockets.size === 1);
    for (const socket of sockets) {
      socket.write('W 1\r\n');
      server.close();
      setTimeout(() => socket.end(), 20);
    }
    await until('the loss', () => made.downs.length === 1);
  });
});
