import type { Clock, DurationMs } from '../../../src/clock/clock.ts';
import { withDeadline } from '../../../src/clock/clock.ts';
import type { LineSettings } from '../../../src/driver/parse.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { type Remote, TcpLine } from './tcp.ts';
import { escapeIac, type Negotiation, negotiate, subnegotiate, TelnetReader } from './telnet.ts';
import type { DrivenLine, ModemControl, SensedLine, Transport, TransportEvents } from './transport.ts';

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

/** How long the server may take to set the line up. */
const SETUP_LIMIT_MS = 3000;
/** What the server tells to hold off and never again to go on is resumed by closing; looked at this often (ms). */
const HELD_MS = 20;

/** A serial port behind a device server that speaks RFC 2217: the line's settings and modem lines go over the network. */
export class Rfc2217Line implements Transport {
  readonly control: ModemControl;
  readonly #tcp: TcpLine;
  readonly #clock: Clock;
  readonly #name: string;
  /** Options this side has agreed to or refused, so that an answer is not answered. */
  readonly #settled = new Set<string>();
  readonly #awaited = new Map<number, (value: Buffer | DcsError) => void>();
  #held = false;
  #modem = 0;

  private constructor(tcp: TcpLine, name: string, clock: Clock) {
    this.#tcp = tcp;
    this.#name = name;
    this.#clock = clock;
    this.control = {
      drive: (line, on) => this.#command(SET_CONTROL, [CONTROL[line][on ? 1 : 0]]),
      sense: () => {
        const on = (line: SensedLine) => (this.#modem & SENSED[line]) !== 0;
        return { cts: on('cts'), dsr: on('dsr'), dcd: on('dcd'), ri: on('ri') };
      },
    };
  }

  /** Rejects with PORT_DOWN (nobody there), NOT_SUPPORTED (no RFC 2217) or DEVICE_REFUSED (settings not taken). */
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
        if (opened) opened.#told(bytes, events);
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
      await opened.#setUp(line, flow);
    } catch (error) {
      await tcp.close();
      throw error;
    }
    return opened;
  }

  async send(bytes: Uint8Array, limit: DurationMs): Promise<void> {
    const end = this.#clock.now() + limit;
    while (this.#held) {
      if (this.#clock.now() >= end) throw new DcsError('TIMEOUT', `${this.#name} holds bytes off (flow control)`);
      await new Promise<void>((resolve) => this.#clock.after(HELD_MS, resolve));
    }
    await this.#tcp.send(escapeIac(bytes), Math.max(1, end - this.#clock.now()));
  }

  close(): Promise<void> {
    this.#fail(new DcsError('PORT_DOWN', `the connection to ${this.#name} is closed`));
    this.#held = false;
    return this.#tcp.close();
  }

  async #setUp({ baud, dataBits, parity, stopBits }: LineSettings, flow: keyof typeof FLOW): Promise<void> {
    const agreed = this.#answerTo(ANSWER);
    for (const option of OPTIONS) {
      this.#settled.add(`will ${option}`);
      this.#raw(negotiate('will', option));
    }
    for (const option of [BINARY, SUPPRESS_GO_AHEAD]) {
      this.#settled.add(`do ${option}`);
      this.#raw(negotiate('do', option));
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

  /** Sets something and looks at what the server says it has set. */
  async #set(command: number, value: readonly number[], what: string): Promise<void> {
    const answer = this.#answerTo(command + ANSWER);
    this.#command(command, value);
    const got = await answer;
    if (got.equals(Buffer.from(value))) return;
    throw new DcsError('DEVICE_REFUSED', `${this.#name} does not take ${what}`, { found: got.toString('hex') });
  }

  async #answerTo(code: number): Promise<Buffer> {
    const answer = new Promise<Buffer>((resolve, reject) => {
      this.#awaited.set(code, (value) => (value instanceof DcsError ? reject(value) : resolve(value)));
    });
    const late = () =>
      new DcsError('NOT_SUPPORTED', `${this.#name} does not speak RFC 2217`, {
        expected: 'a port in RFC 2217 mode (ser2net: telnet(rfc2217)), or tcp:// for plain bytes',
      });
    return await withDeadline(this.#clock, SETUP_LIMIT_MS, answer, late).finally(() => this.#awaited.delete(code));
  }

  #negotiated(verb: Negotiation, option: number): void {
    if (option === COM_PORT && verb === 'do') this.#awaited.get(ANSWER)?.(Buffer.alloc(0));
    if (option === COM_PORT && verb === 'dont') {
      this.#awaited.get(ANSWER)?.(new DcsError('NOT_SUPPORTED', `${this.#name} refuses RFC 2217; tcp:// may work`));
    }
    // `do` and `dont` ask about what this side does, `will` and `wont` tell what the other does.
    const mine = verb === 'do' || verb === 'dont';
    const asks = verb === 'do' || verb === 'will';
    const agree = asks && OPTIONS.includes(option);
    const reply: Negotiation = mine ? (agree ? 'will' : 'wont') : agree ? 'do' : 'dont';
    const name = `${reply} ${option}`;
    if (this.#settled.has(name)) return;
    this.#settled.delete(`${mine ? (agree ? 'wont' : 'will') : agree ? 'dont' : 'do'} ${option}`);
    this.#settled.add(name);
    this.#raw(negotiate(reply, option));
  }

  #told(bytes: Buffer, events: TransportEvents): void {
    if (bytes[0] !== COM_PORT || bytes.length < 2) return;
    const code = bytes.readUInt8(1);
    const value = bytes.subarray(2);
    if (code === SUSPEND || code === SUSPEND + ANSWER) this.#held = true;
    else if (code === RESUME || code === RESUME + ANSWER) this.#held = false;
    else if (code === NOTIFY_MODEM_STATE) this.#modem = value[0] ?? 0;
    else if (code === NOTIFY_LINE_STATE) {
      if (((value[0] ?? 0) & LINE_ERRORS) !== 0) events.damaged(Buffer.alloc(0));
    } else this.#awaited.get(code)?.(value);
  }

  #command(code: number, value: readonly number[]): void {
    this.#raw(subnegotiate([COM_PORT, code, ...value]));
  }

  /** Telnet's own bytes; they need not wait for their turn, and a connection that is gone tells itself. */
  #raw(bytes: Buffer): void {
    this.#tcp.post(bytes);
  }

  #fail(error: DcsError): void {
    for (const settle of this.#awaited.values()) settle(error);
  }
}
