import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ascii, type Framing, rtu } from '../../drivers/modbus/protocol/framing.ts';
import { channelOf, Owner, until } from './owner.ts';

/** A device server with serial frames on TCP that closes each connection `ms` after its first reply. */
class ClosingServer {
  connections = 0;
  value = 0;
  readonly written: number[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(framing: Framing, ms: number) {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      let answered = false;
      socket.on('data', (bytes: Buffer) => {
        if (answered) return;
        answered = true;
        const request = framing === rtu ? bytes : Buffer.from(bytes.toString('latin1').slice(1, -4), 'hex');
        socket.write(framing.encode(1, this.#reply(request)));
        setTimeout(() => socket.end(), ms);
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #reply(request: Buffer): Buffer {
    const [fn, value] = [request.readUInt8(1), request.readUInt16BE(4)];
    if (fn === 3) return Buffer.from([3, 2, this.value >> 8, this.value & 0xff]);
    this.value = value;
    this.written.push(value);
    return request.subarray(1, 6);
  }
}

let server: ClosingServer;
let owner: Owner;
afterEach(async () => {
  await owner?.close();
  server?.close();
});

describe.each([
  ['rtu', rtu],
  ['ascii', ascii],
] as const)('%s frames over TCP', (name, framing) => {
  let tcp: string;
  const word = channelOf({ holding: 5 }, { direction: 'out' });

  it.each([0, 20, 200])('a server that closes %i ms after each reply costs no value and no command', async (ms) => {
    server = new ClosingServer(framing, ms);
    tcp = await server.listen();
    owner = new Owner({ tcp, framing: name, poll: '100ms', timeout: '300ms' }, [word]);
    const port = await owner.open();
    await until(() => owner.value(word) === 0, 2000);
    for (let turn = 1; turn <= 8; turn++) {
      // The first answers may show whether the server closes; nothing is unknown meanwhile.
      expect(await port.write(word, turn)).toEqual({ readBack: turn });
      await new Promise((resolve) => setTimeout(resolve, turn * 13));
    }
    expect(server.written).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(owner.downs).toEqual([]);
    expect((owner.readings.get(word.key) ?? []).filter(({ ok }) => !ok)).toEqual([]);
  });
});

describe('a write that a server takes and then closes instead of answering', () => {
  it('is of unknown outcome and not sent again', async () => {
    const writes: number[] = [];
    const silent = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.on('data', (bytes: Buffer) => {
        if (bytes.readUInt8(1) > 4) writes.push(bytes.readUInt8(1));
        socket.end();
      });
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const tcp = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
    const word = channelOf({ holding: 5 }, { direction: 'out' });
    owner = new Owner({ tcp, framing: 'rtu', poll: '1h', retries: 0 }, [word]);
    const port = await owner.open();
    // It is sent after the quarantine of the first read, whose late reply may still come over a new connection.
    await expect(port.write(word, 7)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(writes).toEqual([6]);
    silent.close();
  });
});
