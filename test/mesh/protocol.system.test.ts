import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Dealer } from 'zeromq';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Mesh } from '../../src/mesh/mesh.ts';
import { allow, decodeZ85, loadKeys, newKeys } from '../../src/mesh/security/keys.ts';
import type { KeyPair } from '../../src/mesh/transport/socket-factory.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';

/** A node written from src/mesh/PROTOCOL.md alone: an encrypted session by hand, and pings beside it. */
class SecondImplementation {
  readonly frames: Record<string, unknown>[] = [];
  readonly datagrams: Buffer[] = [];
  readonly line = randomBytes(24);
  readonly #dealer: Dealer;
  readonly #own: KeyPair;
  readonly #server: string;
  readonly #udp: Socket = createSocket('udp4');
  #token: string | undefined;

  constructor(own: KeyPair, server: string) {
    this.#own = own;
    this.#server = server;
    const { publicKey: curvePublicKey, secretKey: curveSecretKey } = own;
    this.#dealer = new Dealer({ curveServerKey: server, curvePublicKey, curveSecretKey, linger: 0 });
    this.#udp.on('message', (packet) => this.datagrams.push(packet));
  }

  async connect(port: number): Promise<void> {
    this.#udp.bind(0, '127.0.0.1');
    await once(this.#udp, 'listening');
    this.#dealer.connect(`tcp://127.0.0.1:${port}`);
    void this.#read();
    const hello = {
      ...{ id: 'HandX', name: 'by hand', boot: 'b1', machine: 'elsewhere', addresses: [], port: 1 },
      ...{ server: { rx: 1, tx: 1 }, key: this.#own.publicKey },
    };
    for (let attempt = 0; attempt < 5 && this.frames.length === 0; attempt++) {
      await this.send({ hello, t: 1000, want: { all: false, subjects: [], pins: ['pump'] }, near: [] });
      for (let waited = 0; waited < 1000 && this.frames.length === 0; waited += 10) await setTimeout(10);
    }
  }

  send(frame: object): Promise<void> {
    return this.#dealer.send(JSON.stringify(this.#token === undefined ? frame : { k: this.#token, ...frame }));
  }

  /** The value of a key in the first frame that has it. */
  async first(key: string): Promise<unknown> {
    return until(`a frame with ${key}`, () => this.frames.find((frame) => key in frame)?.[key]);
  }

  async offerPings(): Promise<void> {
    await this.send({ ping: { port: this.#udp.address().port, line: this.line.toString('base64url') } });
  }

  /** Sends a datagram to the peer's line. */
  ping(port: number, line: Buffer, kind: number, serial: number): void {
    const packet = Buffer.alloc(26);
    line.copy(packet, 0, 0, 8);
    packet[8] = kind;
    packet.writeBigUInt64BE(BigInt(serial), 10);
    tag(line, packet).copy(packet, 18);
    this.#udp.send(packet, port, '127.0.0.1');
  }

  close(): void {
    this.#dealer.close();
    this.#udp.close();
  }

  async #read(): Promise<void> {
    for await (const [bytes] of this.#dealer) {
      const frame: unknown = JSON.parse(String(bytes));
      if (!isRecord(frame)) continue;
      this.frames.push(frame);
      if (typeof frame['challenge'] === 'string') await this.send({ proof: this.#proof(frame['challenge']) });
      if (typeof frame['token'] === 'string') this.#token = frame['token'];
    }
  }

  #proof(challenge: string): string {
    const text = (key: string) => decodeZ85(key).toString('base64url');
    const { publicKey, secretKey } = this.#own;
    const secret = diffieHellman({
      privateKey: createPrivateKey({
        key: { kty: 'OKP', crv: 'X25519', d: text(secretKey), x: text(publicKey) },
        format: 'jwk',
      }),
      publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: text(this.#server) }, format: 'jwk' }),
    });
    const key = createHash('sha256').update(secret).update('dcs-io link').digest();
    return createHmac('sha256', key).update(`${challenge} HandX`).digest('hex');
  }
}

function tag(line: Buffer, packet: Buffer): Buffer {
  return createHmac('sha256', line.subarray(8)).update(packet.subarray(0, 18)).digest().subarray(0, 8);
}

/** True for a datagram of this kind with our line's name and a valid tag. */
function isValid(line: Buffer, packet: Buffer, kind: number): boolean {
  const named = packet.length === 26 && packet.subarray(0, 8).equals(line.subarray(0, 8));
  return named && packet[8] === kind && timingSafeEqual(packet.subarray(18), tag(line, packet));
}

let folder: string;
let mesh: Mesh;
let peer: SecondImplementation;
let executed: unknown[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-protocol-'));
  const [node, hand] = [join(folder, 'node'), join(folder, 'hand')];
  const { publicKey: server } = await newKeys(node);
  const { publicKey } = await newKeys(hand);
  allow(node, 'hand', publicKey);
  executed = [];
  const bus = new Bus();
  const pump = new Actor('pump');
  pump.onPin('pump', ({ val }, { msg_id }) => {
    executed.push(val);
    pump.send({ IoMessage: { pin_name: 'pump', val, last_change: 1, reply_to: msg_id } });
  });
  bus.join(pump);
  const [rx, tx] = [await freePort(), await freePort()];
  mesh = new Mesh(bus, { listen: '0.0.0.0', rx, tx, security: { keys: node }, name: 'boiler-room' });
  await mesh.start();
  peer = new SecondImplementation(loadKeys(hand), server);
  await peer.connect(mesh.address.port);
});

afterEach(async () => {
  peer.close();
  await mesh.stop();
  rmSync(folder, { recursive: true });
});

const command = {
  sender: ['Actor', 'HandX'],
  timestamp: 1,
  msg_id: 'Actor.0',
  payload: { IoMessage: { pin_name: 'pump', val: 3 } },
};

describe('a second implementation of the protocol', () => {
  it('opens an encrypted session and gets the one answer to its command', async () => {
    expect(await peer.first('welcome')).toMatchObject({ name: 'boiler-room' });
    expect(await peer.first('birth')).toMatchObject({ event: 'birth', name: 'boiler-room' });
    await peer.send({ s: 0, t: 1100, m: [command] });
    expect(await peer.first('m')).toMatchObject([{ payload: { IoMessage: { val: 3, reply_to: 'Actor.0' } } }]);
    expect(executed).toEqual([3]);
    expect(mesh.links).toMatchObject([{ id: 'HandX', open: true, encrypted: true }]);
  });

  it('is not heard without the token, and is told that this is no session', async () => {
    await peer.first('welcome');
    await peer.send({ k: 'guessed', s: 0, t: 1100, m: [command] });
    expect(await peer.first('bye')).toBe('unknown');
    expect(executed).toEqual([]);
  });

  it('answers pings and is answered', async () => {
    const offer = await peer.first('ping');
    if (!isRecord(offer)) throw new Error('no offer');
    const line = Buffer.from(String(offer['line']), 'base64url');
    await peer.offerPings();
    // The node dialled nobody: it learns the address from the first ping.
    let serial = 0;
    const pong = await until('a pong', () => {
      peer.ping(Number(offer['port']), line, 1, ++serial);
      return peer.datagrams.find((packet) => isValid(peer.line, packet, 2));
    });
    expect(Number(pong.readBigUInt64BE(10))).toBeLessThanOrEqual(serial);
    const ping = await until('a ping', () => peer.datagrams.find((packet) => isValid(peer.line, packet, 1)));
    peer.ping(Number(offer['port']), line, 2, Number(ping.readBigUInt64BE(10)));
    await until('the round trip', () => mesh.links.some(({ roundTripMs }) => roundTripMs !== undefined));
    const down = once(mesh, 'peer-down');
    peer.ping(Number(offer['port']), line, 3, ++serial);
    expect(await down).toMatchObject([{ id: 'HandX' }, 'disconnected']);
  });
});
