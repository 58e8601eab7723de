import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, type DurationMs, type MonotonicMs, sleep } from '../../../src/clock/clock.ts';
import { DcsError, messageOf } from '../../../src/errors/errors.ts';
import type { Framing } from '../protocol/framing.ts';
import { encodeMbap, MbapReader } from '../protocol/mbap.ts';
import type { ReceivedRequest, RequestReader } from '../server/line-server.ts';
import { respondTo, type Store } from '../server/respond.ts';
import type { LineTiming } from '../transport/line-timing.ts';
import { applyFault, doesNothing, type Fault, type FaultScript, type FrameCodec } from './faults.ts';

export interface LineSlaveOptions {
  readonly clock: Clock;
  readonly framing: Framing;
  readonly reader: RequestReader;
  readonly timing: LineTiming;
  /** Response delay of the device. */
  readonly responseMs: DurationMs;
  readonly store: Store;
  /** Units that it answers for; `undefined`: all. */
  readonly units?: ReadonlySet<number>;
  /** The adapter echoes what the master sends. */
  readonly echo: boolean;
  send(bytes: Buffer): void;
  /** Breaks the line for this time. */
  unplug(away?: DurationMs): void;
}

/** Bytes are sent in groups of this duration, as by an adapter. */
const GRAIN_MS = 1;

/**
 * A slave on a half-duplex line. A stream has no baud rate, so the slave keeps the time of the line itself: a request
 * takes the time of its bytes, and the bytes of a reply are sent at the line's rate.
 */
export class LineSlave {
  script: FaultScript = () => undefined;
  /** Number of requests received. */
  requests = 0;
  readonly #options: LineSlaveOptions;
  #receivedUntil: MonotonicMs = 0;

  constructor(settings: LineSlaveOptions) {
    this.#options = settings;
  }

  /** Takes bytes from the master. */
  receive(bytes: Buffer): void {
    const { clock, reader, timing, echo, send } = this.#options;
    if (echo) this.#later(bytes.length * timing.characterMs, () => send(bytes));
    const began = Math.max(clock.now(), this.#receivedUntil);
    this.#receivedUntil = began + bytes.length * timing.characterMs;
    reader.push(bytes, (request) => void this.#serve(request));
  }

  async #serve(request: ReceivedRequest): Promise<void> {
    const { clock, store, units, timing, responseMs: slaveMs, framing } = this.#options;
    const heardAt = this.#receivedUntil;
    if (units && request.unit !== 0 && !units.has(request.unit)) return;
    const fault = this.script(request, this.requests++);
    const proper = doesNothing(fault) ? request.pdu : await respondTo(store, request.unit, request.pdu);
    if (request.unit === 0) return;
    const thinks = slaveMs + timing.gapMs + (fault?.kind === 'late' ? fault.ms : 0);
    const frame = applyFault(lineCodec(framing), request.unit, request.pdu, proper, fault);
    if (fault?.kind === 'unplug') this.#options.unplug(fault.ms);
    if (frame) this.#later(heardAt + thinks - clock.now(), () => this.#sendPaced(frame, fault));
  }

  #sendPaced(frame: Buffer, fault: Fault | undefined): void {
    const { clock, timing, send, unplug } = this.#options;
    const began = clock.now();
    let sent = 0;
    const step = () => {
      const due =
        timing.characterMs === 0 ? frame.length : Math.floor((clock.now() - began) / timing.characterMs + 1e-6);
      const upTo = Math.min(frame.length, due);
      if (upTo > sent) send(frame.subarray(sent, upTo));
      sent = Math.max(sent, upTo);
      if (sent === frame.length) {
        if (fault?.kind === 'break') unplug();
        return;
      }
      const left = frame.length * timing.characterMs - (clock.now() - began);
      this.#later(Math.min(left, Math.max(GRAIN_MS, timing.characterMs)), step);
    };
    step();
  }

  #later(delay: DurationMs, action: () => void): void {
    if (delay <= 0) action();
    else this.#options.clock.after(delay, action);
  }
}

function lineCodec(framing: Framing): FrameCodec {
  return {
    wrap: (unit, pdu) => framing.encode(unit, pdu),
    // The third byte from the end: within the checksum of RTU, and before the line end of ASCII.
    damage: (frame) => {
      frame[frame.length - 3] = (frame.at(-3) ?? 0) ^ 1;
    },
  };
}

export interface TcpSlaveOptions {
  readonly host: string;
  /** 0: a free port. */
  readonly port: number;
  readonly clock: Clock;
  /** Response delay of the device. */
  readonly responseMs: DurationMs;
  readonly store: Store;
  readonly units: ReadonlySet<number>;
  readonly script: FaultScript;
  /** Takes the device away for this time: no connection is possible. */
  unplug(away: DurationMs): void;
}

/** A simulated device on TCP, with every fault of a device or of the network. Other replies overtake late ones. */
export class TcpSlave {
  readonly #options: TcpSlaveOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #requests = 0;

  constructor(settings: TcpSlaveOptions) {
    this.#options = settings;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Resolves with the port. Rejects with BUSY when it cannot listen. */
  listen(): Promise<number> {
    const { host, port } = this.#options;
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

  #accept(socket: Socket): void {
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
    const { clock, responseMs: slaveMs, store, units, script, unplug } = this.#options;
    if (!units.has(unit)) return;
    const fault = script({ unit, pdu, size: pdu.length }, this.#requests++);
    const proper = doesNothing(fault) ? pdu : await respondTo(store, unit, pdu);
    const wait = slaveMs + (fault?.kind === 'late' ? fault.ms : 0);
    if (wait > 0) await sleep(clock, wait);
    if (socket.destroyed) return;
    const bytes = applyFault(mbapCodec(id), unit, pdu, proper, fault);
    if (bytes) socket.write(bytes, () => fault?.kind === 'break' && socket.resetAndDestroy());
    if (fault?.kind === 'unplug') unplug(fault.ms);
  }
}

function mbapCodec(id: number): FrameCodec {
  return {
    wrap: (unit, pdu) => encodeMbap(id, unit, pdu),
    // TCP frames have no checksum: a corrupt frame has a protocol id that is not Modbus.
    damage: (frame) => {
      frame[2] = 1;
    },
  };
}
