import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import { conformance } from '../../src/testing/conformance.ts';
import { LineReader } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { type OpenedPort, openPort } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { Device } from './device.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function open(options: object, keys: object[] = []): Promise<OpenedPort & { frames: string[] }> {
  const made = await openPort(
    serial,
    options,
    keys.map((one) => ({
      keys: one,
      direction: 'write' in one || ('control' in one && one.control !== 'cts') ? ('out' as const) : ('in' as const),
    })),
  );
  ends.push(() => made.port.close());
  const frames: string[] = [];
  made.port.stream?.onFrame((frame) => void frames.push(Buffer.from(frame).toString('latin1')));
  return { ...made, frames };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** A device behind ser2net, the way most device servers are set up. */
async function ser2net(
  accepter: 'tcp' | 'telnet(rfc2217),tcp',
  line = '9600n81',
): Promise<{ device: Device; port: number }> {
  const device = new Device();
  await device.plug();
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-ser2net-'));
  const file = join(folder, 'ser2net.yaml');
  writeFileSync(
    file,
    `connection: &it\n  accepter: ${accepter},127.0.0.1,${port}\n  connector: serialdev,${device.path},${line},local\n`,
  );
  const server: ChildProcess = spawn('ser2net', ['-d', '-c', file, '-P', join(folder, 'pid')], { stdio: 'ignore' });
  ends.push(async () => {
    server.kill('SIGKILL');
    await device.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const probe = async () => {
    const { connect } = await import('node:net');
    return await new Promise<boolean>((resolve) => {
      const socket: Socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
  };
  await until('ser2net', probe);
  return { device, port };
}

describe('a device behind TCP', () => {
  it('bytes go both ways through ser2net', async () => {
    const { device, port } = await ser2net('tcp');
    const every = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
    const { port: opened, frames } = await until('a connection', () =>
      open({ path: `tcp://127.0.0.1:${port}` }).catch(() => undefined),
    );
    await opened.stream?.send(every);
    await until('all bytes', () => device.received.length >= 256);
    expect(device.received.equals(every)).toBe(true);
    device.say('hello\n');
    await until('the line', () => frames.length === 1);
    expect(frames).toEqual(['hello']);
  });

  it('is PORT_DOWN when the connection is refused, and reports down once when the other side closes it', async () => {
    const nobody = await freePort();
    await expect(open({ path: `tcp://127.0.0.1:${nobody}` })).rejects.toMatchObject({ code: 'PORT_DOWN' });
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket));
    const made = await open({ path: `tcp://127.0.0.1:${await listen(server)}` });
    ends.push(() => server.close());
    await until('the connection', () => sockets.length === 1);
    sockets[0]?.resetAndDestroy();
    await until('down', () => made.downs.length > 0);
    await expect(made.port.stream?.send(Buffer.from('late'))).rejects.toMatchObject({ code: 'PORT_DOWN' });
    await made.port.close();
    expect(made.downs.length).toBe(1);
  });
});

describe('a device behind RFC 2217', () => {
  it('settings are set and confirmed, every byte value goes both ways', async () => {
    const { device, port } = await ser2net('telnet(rfc2217),tcp');
    const path = `rfc2217://127.0.0.1:${port}`;
    const { port: opened, frames } = await until('a connection', () =>
      open({ path, line: '19200-8N1', framing: { delimiter: '\\n' } }).catch((error: { code?: string }) => {
        if (error.code !== 'PORT_DOWN' && error.code !== 'DEVICE_REFUSED') throw error;
        return undefined;
      }),
    );
    const every = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
    await opened.stream?.send(every);
    await until('all bytes', () => device.received.length >= 256);
    expect(device.received.equals(every)).toBe(true);
    device.say(Buffer.concat([every.filter((byte) => byte !== 10), Buffer.from('\n')]));
    await until('the frame', () => frames.length === 1);
    expect(frames[0]?.length).toBe(255);
  });

  it('sets line settings and modem lines at another server, and receives its inputs', async () => {
    const file = fileURLToPath(new URL('./rfc2217-server.py', import.meta.url));
    // Debian's own python has pyserial.
    const judge = new LineReader('/usr/bin/python3', [file]);
    ends.push(() => judge.stop());
    const { port } = JSON.parse(await judge.line('"port"'));
    const path = `rfc2217://127.0.0.1:${port}`;
    const settings = { line: '19200-7E2', flow: 'rtscts', dtr: false, rts: true };
    const made = await open({ path, ...settings }, [{ control: 'dtr' }, { control: 'break' }, { control: 'cts' }]);
    for (const said of ['"baudrate": 19200', '"bytesize": 7', '"parity": "E"', '"stopbits": 2', '"rtscts": true']) {
      await judge.line(said);
    }
    await judge.line('"dtr": false');
    await judge.line('"rts": true');
    const [dtr, hold, cts] = made.channels;
    if (!dtr || !hold || !cts) throw new Error('no pins');
    await made.port.write(dtr, true);
    await judge.line('"dtr": true');
    await made.port.write(hold, true);
    await judge.line('"break_condition": true');
    await made.port.write(hold, false);
    await judge.line('"break_condition": false');
    const seen: unknown[] = [];
    made.listen(cts, (reading) => seen.push(reading.ok && reading.value));
    await until('cts off', () => seen.at(-1) === false);
    judge.say('cts 1');
    await until('cts on', () => seen.at(-1) === true);
    // Data with the byte that telnet escapes, there and back.
    await made.port.stream?.send(Buffer.from([0xff, 0x41, 0xff, 0xff, 0x0a]));
    await until('the echo', () => made.frames.length === 1);
    expect(made.frames).toEqual(['\xffA\xff\xff']);
  });

  it('is NOT_SUPPORTED when the other side does not speak it', async () => {
    const server = createServer((socket) => void socket.on('error', () => undefined));
    ends.push(() => server.close());
    const path = `rfc2217://127.0.0.1:${await listen(server)}`;
    await expect(open({ path })).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
  });
});

const sockets = new Set<Socket>();
let server: Server | undefined;
let port = 0;
let talk: NodeJS.Timeout | undefined;
let shown: string | undefined;

conformance('serial over TCP', {
  driver: serial,
  options: () => ({ path: `tcp://127.0.0.1:${port}` }),
  input: {
    keys: { match: '^T=([-0-9.]+)$' },
    values: [20.5, -3],
    drive: async (value) => {
      shown = `T=${value}\r\n`;
      for (const socket of sockets) socket.write(shown);
    },
  },
  plug: {
    unplug: async () => {
      server?.close();
      for (const socket of sockets) socket.destroy();
    },
    replug: async () => {
      await serve();
    },
  },
  setup: async () => {
    shown = undefined;
    port = 0;
    await serve();
    talk = setInterval(() => {
      for (const socket of sockets) if (shown) socket.write(shown);
    }, 10);
  },
  teardown: async () => {
    clearInterval(talk);
    server?.close();
    for (const socket of sockets) socket.destroy();
  },
});

async function serve(): Promise<void> {
  const made = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  server = made;
  await new Promise<void>((resolve) => made.listen(port, '127.0.0.1', resolve));
  const address = made.address();
  if (address !== null && typeof address === 'object') port = address.port;
}
