import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, type DurationMs, sleep } from '../../../src/clock/clock.ts';
import { DcsError, messageOf } from '../../../src/errors/errors.ts';
import { encodeMbap, MbapReader } from '../protocol/mbap.ts';
import { answer } from '../server/answer.ts';
import type { Store } from '../server/store.ts';
import type { Script } from './fault.ts';
import { spoilt, type Wrapping } from './spoil.ts';

export interface TcpSlaveSettings {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly clock: Clock;
  /** How long the device thinks. */
  readonly slaveMs: DurationMs;
  readonly store: Store;
  readonly units: ReadonlySet<number>;
  readonly script: Script;
  /** The device is gone for so long: nobody can connect. */
  unplug(away: DurationMs): void;
}

/** A simulated device on TCP, with every wrong that a device or the way to it can do. Late replies let others pass. */
export class TcpSlave {
  readonly #settings: TcpSlaveSettings;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #heard = 0;

  constructor(settings: TcpSlaveSettings) {
    this.#settings = settings;
    this.#server = createServer({ noDelay: true }, (socket) => this.#welcome(socket));
  }

  /** Resolves with the port. Rejects with BUSY when it cannot be had. */
  listen(): Promise<number> {
    const { host, port } = this.#settings;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(new DcsError('BUSY', `cannot listen on ${host}:${port}: ${messageOf(cause)}`, { cause }));
      });
      this.#server.listen(port, host, () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address ? address.port : port);
      });
    });
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #welcome(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const reader = new MbapReader();
    socket.on('data', (bytes: Buffer) => {
      const broken = reader.push(bytes, ({ id, unit, pdu }) => void this.#serve(socket, id, unit, Buffer.from(pdu)));
      if (broken !== undefined) socket.destroy();
    });
  }

  async #serve(socket: Socket, id: number, unit: number, pdu: Buffer): Promise<void> {
    const { clock, slaveMs, store, units, script, unplug } = this.#settings;
    if (!units.has(unit)) return;
    const fault = script({ unit, pdu, size: pdu.length }, this.#heard++);
    const proper = fault?.kind === 'exception' ? pdu : await answer(store, unit, pdu);
    const wait = slaveMs + (fault?.kind === 'late' ? fault.ms : 0);
    if (wait > 0) await sleep(clock, wait);
    if (socket.destroyed) return;
    const bytes = spoilt(withId(id), unit, pdu, proper, fault);
    if (bytes) socket.write(bytes, () => fault?.kind === 'break' && socket.resetAndDestroy());
    if (fault?.kind === 'unplug') unplug(fault.ms);
  }
}

function withId(id: number): Wrapping {
  return {
    wrap: (unit, pdu) => encodeMbap(id, unit, pdu),
    // TCP has no checksum of ours: what a damaged frame shows is a protocol that is not Modbus.
    damage: (frame) => {
      frame[2] = 1;
    },
  };
}
