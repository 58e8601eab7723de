import { connect, type Socket } from 'node:net';
import { type Clock, type DurationMs, withDeadline } from '../../../src/clock/clock.ts';
import type { LineSettings } from '../../../src/driver/kit/schemas.ts';
import { DcsError, messageOf } from '../../../src/errors/errors.ts';
import type { Remote } from './network-path.ts';
import { escapeIac, type Negotiation, negotiate, subnegotiate, TelnetReader } from './telnet.ts';
import {
  cutShort,
  type DrivenLine,
  type ModemControl,
  type SensedLine,
  type Transport,
  type TransportEvents,
} from './transport.ts';

const CONNECT_LIMIT_MS = 3000;
/** The kernel begins to send keep-alive probes after this time (ms) without a byte. */
const KEEP_ALIVE_MS = 10_000;

/** A serial device behind a device server: its bytes over plain TCP. */
export class TcpLine implements Transport {
  readonly #socket: Socket;
  readonly #name: string;
  readonly #clock: Clock;
  #ended: DcsError | undefined;
  /** Rejects the send under way. */
  #reject: ((error: DcsError) => void) | undefined;

  private constructor(socket: Socket, name: string, clock: Clock, events: TransportEvents) {
    this.#socket = socket;
    this.#name = name;
    this.#clock = clock;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (bytes) => {
      if (!this.#ended) events.data(bytes);
    });
    let why = 'the other side closed it';
    socket.on('error', (error) => {
      why = messageOf(error);
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (this.#ended) return;
      const error = new DcsError('PORT_DOWN', `the connection to ${name} is gone (${why})`);
      this.#end(error);
      events.lost(error);
    });
  }

  /** Rejects with PORT_DOWN when the connection cannot be made. */
  static async open(remote: Remote, clock: Clock, events: TransportEvents): Promise<TcpLine> {
    const name = `${remote.host}:${remote.port}`;
    const socket = connect(remote);
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    try {
      await withDeadline(clock, CONNECT_LIMIT_MS, connected, () => new Error(`no answer in ${CONNECT_LIMIT_MS} ms`));
    } catch (cause) {
      // After the deadline an error may still follow.
      socket.on('error', () => undefined);
      socket.destroy();
      throw new DcsError('PORT_DOWN', `${name} cannot be reached: ${messageOf(cause)}`, {
        expected: 'a device server or ser2net that listens there',
        cause,
      });
    }
    return new TcpLine(socket, name, clock, events);
  }

  async send(bytes: Uint8Array, limit: DurationMs): Promise<void> {
    if (this.#ended) throw this.#ended;
    const taken = new Promise<void>((resolve, reject) => {
      this.#reject = (error) => reject(cutShort(error, bytes.length, bytes.length));
      // An error closes the socket, and `close` reports it.
      this.#socket.write(bytes, (error) => error ?? resolve());
    });
    const late = () => new DcsError('TIMEOUT', `${this.#name} did not take ${bytes.length} bytes in ${limit} ms`);
    try {
      await withDeadline(this.#clock, limit, taken, late);
    } catch (error) {
      // Bytes in the socket's buffer can only be dropped by closing it.
      this.#socket.destroy();
      throw error;
    } finally {
      this.#reject = undefined;
    }
  }

  /** Sends without waiting. A lost connection reports itself. */
  post(bytes: Uint8Array): void {
    if (!this.#ended) this.#socket.write(bytes);
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', `the connection to ${this.#name} is closed`));
    this.#socket.destroy();
  }

  #end(error: DcsError): void {
    this.#ended ??= error;
    this.#reject?.(this.#ended);
  }
}

const BINARY = 0;
const SUPPRESS_GO_AHEAD = 3;
const COM_PORT = 44;
const OPTIONS: readonly number[] = [BINARY, SUPPRESS_GO_AHEAD, COM_PORT];

/** Commands of RFC 2217; the server answers with the same number plus 100. */
const SET_BAUD = 1;
const SET_DATA_BITS = 2;
const SET_PARITY = 3;
const SET_STOP_BITS = 4;
const SET_CONTROL = 5;
const SUSPEND = 8;
const RESUME = 9;
const LINE_STATE_MASK = 10;
const MODEM_STATE_MASK = 11;
const NOTIFY_LINE_STATE = 106;
const NOTIFY_MODEM_STATE = 107;
const ANSWER = 100;

const PARITY = { none: 1, odd: 2, even: 3 } as const;
const FLOW = { none: 1, xonxoff: 2, rtscts: 3 } as const;
const CONTROL: Readonly<Record<DrivenLine, readonly [off: number, on: number]>> = {
  break: [6, 5],
  dtr: [9, 8],
  rts: [12, 11],
};
/** Bits of the modem state. */
const SENSED: Readonly<Record<SensedLine, number>> = { cts: 0x10, dsr: 0x20, ri: 0x40, dcd: 0x80 };
/** Line state: overrun, parity error, framing error, break. */
const LINE_ERRORS = 0x1e;

/** Longest time for the server to configure the line. */
const SETUP_LIMIT_MS = 3000;
/** Poll period (ms) while the server has suspended sending; closing the port ends the suspension. */
const SUSPENDED_POLL_MS = 20;

/** A serial port behind a device server with RFC 2217: line settings and modem lines are set over the network. */
export class Rfc2217Line implements Transport {
  readonly control: ModemControl;
  readonly #tcp: TcpLine;
  readonly #clock: Clock;
  readonly #name: string;
  /** Options that this side has agreed to or refused, so that no answer is answered again. */
  readonly #negotiatedOptions = new Set<string>();
  readonly #pendingAnswers = new Map<number, (value: Buffer | DcsError) => void>();
  #suspended = false;
  #modemState = 0;

  private constructor(tcp: TcpLine, name: string, clock: Clock) {
    this.#tcp = tcp;
    this.#name = name;
    this.#clock = clock;
    this.control = {
      drive: (line, on) => this.#command(SET_CONTROL, [CONTROL[line][on ? 1 : 0]]),
      sense: () => {
        const on = (line: SensedLine) => (this.#modemState & SENSED[line]) !== 0;
        return { cts: on('cts'), dsr: on('dsr'), dcd: on('dcd'), ri: on('ri') };
      },
    };
  }

  /** Rejects with PORT_DOWN (no connection), NOT_SUPPORTED (no RFC 2217) or DEVICE_REFUSED (settings refused). */
  static async open(
    remote: Remote,
    line: LineSettings,
    flow: keyof typeof FLOW,
    clock: Clock,
    events: TransportEvents,
  ): Promise<Rfc2217Line> {
    const name = `${remote.host}:${remote.port}`;
    let opened: Rfc2217Line | undefined;
    const reader = new TelnetReader({
      data: (bytes) => events.data(bytes),
      negotiation: (verb, option) => {
        if (opened) opened.#negotiated(verb, option);
      },
      subnegotiation: (bytes) => {
        if (opened) opened.#handleCommand(bytes, events);
      },
    });
    const tcp = await TcpLine.open(remote, clock, {
      data: (bytes) => reader.push(bytes),
      damaged: (byte) => events.damaged(byte),
      lost: (error) => {
        if (opened) opened.#fail(error);
        events.lost(error);
      },
    });
    opened = new Rfc2217Line(tcp, name, clock);
    try {
      await opened.#configure(line, flow);
    } catch (error) {
      await tcp.close();
      throw error;
    }
    return opened;
  }

  async send(bytes: Uint8Array, limit: DurationMs): Promise<void> {
    const end = this.#clock.now() + limit;
    while (this.#suspended) {
      if (this.#clock.now() >= end) throw new DcsError('TIMEOUT', `${this.#name} holds bytes off (flow control)`);
      await new Promise<void>((resolve) => this.#clock.after(SUSPENDED_POLL_MS, resolve));
    }
    await this.#tcp.send(escapeIac(bytes), Math.max(1, end - this.#clock.now()));
  }

  close(): Promise<void> {
    this.#fail(new DcsError('PORT_DOWN', `the connection to ${this.#name} is closed`));
    this.#suspended = false;
    return this.#tcp.close();
  }

  async #configure({ baud, dataBits, parity, stopBits }: LineSettings, flow: keyof typeof FLOW): Promise<void> {
    const agreed = this.#answerTo(ANSWER);
    for (const option of OPTIONS) {
      this.#negotiatedOptions.add(`will ${option}`);
      this.#post(negotiate('will', option));
    }
    for (const option of [BINARY, SUPPRESS_GO_AHEAD]) {
      this.#negotiatedOptions.add(`do ${option}`);
      this.#post(negotiate('do', option));
    }
    await agreed;
    const speed = Buffer.alloc(4);
    speed.writeUInt32BE(baud);
    await this.#set(SET_BAUD, [...speed], `${baud} baud`);
    await this.#set(SET_DATA_BITS, [dataBits], `${dataBits} data bits`);
    await this.#set(SET_PARITY, [PARITY[parity]], `parity ${parity}`);
    await this.#set(SET_STOP_BITS, [stopBits], `${stopBits} stop bits`);
    await this.#set(SET_CONTROL, [FLOW[flow]], `flow control ${flow}`);
    this.#command(LINE_STATE_MASK, [LINE_ERRORS]);
    this.#command(MODEM_STATE_MASK, [0xff]);
  }

  /** Sets a value and checks the value that the server reports. */
  async #set(command: number, value: readonly number[], what: string): Promise<void> {
    const answer = this.#answerTo(command + ANSWER);
    this.#command(command, value);
    const got = await answer;
    if (got.equals(Buffer.from(value))) return;
    throw new DcsError('DEVICE_REFUSED', `${this.#name} does not take ${what}`, { found: got.toString('hex') });
  }

  async #answerTo(code: number): Promise<Buffer> {
    const answer = new Promise<Buffer>((resolve, reject) => {
      this.#pendingAnswers.set(code, (value) => (value instanceof DcsError ? reject(value) : resolve(value)));
    });
    const late = () =>
      new DcsError('NOT_SUPPORTED', `${this.#name} does not speak RFC 2217`, {
        expected: 'a port in RFC 2217 mode (ser2net: telnet(rfc2217)), or tcp:// for plain bytes',
      });
    return await withDeadline(this.#clock, SETUP_LIMIT_MS, answer, late).finally(() =>
      this.#pendingAnswers.delete(code),
    );
  }

  #negotiated(verb: Negotiation, option: number): void {
    if (option === COM_PORT) this.#comPortAnswered(verb);
    // `do` and `dont` ask what this side does; `will` and `wont` say what the other side does.
    const [yes, no]: readonly [Negotiation, Negotiation] =
      verb === 'do' || verb === 'dont' ? ['will', 'wont'] : ['do', 'dont'];
    const agree = (verb === 'do' || verb === 'will') && OPTIONS.includes(option);
    const [reply, opposite] = agree ? [yes, no] : [no, yes];
    const name = `${reply} ${option}`;
    if (this.#negotiatedOptions.has(name)) return;
    this.#negotiatedOptions.delete(`${opposite} ${option}`);
    this.#negotiatedOptions.add(name);
    this.#post(negotiate(reply, option));
  }

  #comPortAnswered(verb: Negotiation): void {
    const settle = this.#pendingAnswers.get(ANSWER);
    if (verb === 'do') settle?.(Buffer.alloc(0));
    if (verb === 'dont') settle?.(new DcsError('NOT_SUPPORTED', `${this.#name} refuses RFC 2217; tcp:// may work`));
  }

  #handleCommand(bytes: Buffer, events: TransportEvents): void {
    if (bytes[0] !== COM_PORT || bytes.length < 2) return;
    const code = bytes.readUInt8(1);
    const value = bytes.subarray(2);
    if (code === SUSPEND || code === SUSPEND + ANSWER) this.#suspended = true;
    else if (code === RESUME || code === RESUME + ANSWER) this.#suspended = false;
    else if (code === NOTIFY_MODEM_STATE) this.#modemState = value[0] ?? 0;
    else if (code === NOTIFY_LINE_STATE) {
      if (((value[0] ?? 0) & LINE_ERRORS) !== 0) events.damaged(Buffer.alloc(0));
    } else this.#pendingAnswers.get(code)?.(value);
  }

  #command(code: number, value: readonly number[]): void {
    this.#post(subnegotiate([COM_PORT, code, ...value]));
  }

  /** Sends telnet's own bytes without waiting for other sends. */
  #post(bytes: Buffer): void {
    this.#tcp.post(bytes);
  }

  #fail(error: DcsError): void {
    for (const settle of this.#pendingAnswers.values()) settle(error);
  }
}
