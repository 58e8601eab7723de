import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { openTcp } from '../../src/driver/kit/link.ts';

const server = createServer({ pauseOnConnect: true });

afterEach(() => {
  server.close();
});

/** A connection to a device, and the device's end of it, at which nothing is read yet. */
async function connection() {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const accepted = once(server, 'connection');
  const events = { data: () => undefined, down: () => undefined };
  const link = await openTcp({ host: '127.0.0.1', port: address.port }, systemClock, 1000, events);
  const [device]: Socket[] = await accepted;
  if (!device) throw new Error('no connection');
  const end = new Promise((resolve) => {
    device.once('error', () => resolve('lost'));
    device.once('end', () => resolve('ended'));
  });
  return { link, device, end };
}

describe('a TCP connection that is closed', () => {
  it('discards bytes that have not reached the device: a write must not be delivered after its command has ended', async () => {
    const { link, device, end } = await connection();
    // More than the device's end takes unread: some megabytes of it wait in the kernel of this one.
    link.send(Buffer.alloc(16 << 20));
    await link.close();
    device.resume();
    await end;
    expect(device.bytesRead).toBeLessThan(1 << 20);
  });

  it('ends properly when everything has been answered', async () => {
    const { link, device, end } = await connection();
    link.send(Buffer.from('question'));
    const heard = once(device, 'data');
    device.resume();
    await heard;
    device.write('answer');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await link.close();
    expect(await end).toBe('ended');
  });
});
