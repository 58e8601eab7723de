import { isUtf8 } from 'node:buffer';
import { createInterface } from 'node:readline';
import { serial } from '../../drivers/serial/driver.ts';
import { type Clock, systemClock, type Timer, type UnixSeconds } from '../clock/clock.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import { PortRunner } from '../io/port-runner.ts';
import { isRecord } from '../message/envelope.ts';
import { connectClient } from './bus-client.ts';
import { CliError, exitCodes, formatZodError } from './exit.ts';
import type { ClientOptions } from './options.ts';
import { colour, printJson, printLine, printNote, showTime } from './output.ts';

interface MonitorOptions extends ClientOptions {
  readonly line: string;
  readonly flow: string;
  /** Sent after each line. */
  readonly end: string;
  readonly hex?: boolean;
  readonly time?: boolean;
}

type Direction = 'in' | 'out';
type Printer = (bytes: Buffer, unix: UnixSeconds, direction: Direction) => void;

const HEX_ROW = 16;

/** Connects the terminal with a serial port, or with a port of a running agent, until Ctrl-C or Ctrl-D. */
export async function runMonitor(port: string, options: MonitorOptions): Promise<void> {
  const print = createPrinter(options);
  const splitter = new LineSplitter((bytes, unix) => print(bytes, unix, 'in'));
  const output: MonitorOutput = {
    bytes: (bytes, unix) => (options.hex ? print(bytes, unix, 'in') : splitter.push(bytes, unix)),
    frame: print,
    note: (text) => printNote(colour.dim(`-- ${text}`)),
  };
  const { line, flow } = options;
  const connection = port.includes('/')
    ? await openPort({ path: port, line, flow }, output)
    : await attachToAgent(port, options, output);
  // While the port is away, nothing else may keep the process alive.
  const alive = setInterval(() => {}, 1 << 30);
  const input = createInterface({ input: process.stdin, terminal: false });
  let sending: Promise<void> = Promise.resolve();
  input.on('line', (text) => {
    const bytes = encodeInput(text, options);
    if (typeof bytes === 'string') output.note(bytes);
    // Lines are sent one after the other, in the order typed.
    else sending = sending.then(() => sendLine(connection, bytes, print, output));
  });
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
    process.stdout.once('error', () => resolve());
    // After the end of a pipe answers still come; Ctrl-D ends the monitor.
    input.once('close', () => process.stdin.isTTY && resolve());
  });
  clearInterval(alive);
  input.close();
  splitter.end();
  await connection.close();
}

async function sendLine(
  connection: MonitorConnection,
  bytes: Buffer,
  print: Printer,
  output: MonitorOutput,
): Promise<void> {
  try {
    await connection.send(bytes);
    print(bytes, Date.now() / 1000, 'out');
  } catch (error) {
    const unknown = error instanceof DcsError && error.code === 'TIMEOUT';
    output.note(`${unknown ? 'whether it was sent is unknown' : 'not sent'}: ${messageOf(error)}`);
  }
}

/** The bytes of a typed line, or a message that says why there are none. */
function encodeInput(text: string, { hex, end }: MonitorOptions): Buffer | string {
  if (!hex) return Buffer.from(text + end, 'utf8');
  const digits = text.replaceAll(/0x|[\s,]/gi, '');
  if (/^([0-9a-f]{2})*$/i.test(digits)) return Buffer.from(digits, 'hex');
  return `not sent: ${JSON.stringify(text)} is not hexadecimal; write bytes like 02 4f 4b 03`;
}

function createPrinter({ hex, time, json }: MonitorOptions): Printer {
  if (json) {
    return (bytes, unix, direction) => {
      const text = decodeUtf8(bytes);
      printJson({ time: unix, way: direction, ...(text === undefined ? base64(bytes) : { data: text }) });
    };
  }
  return (bytes, unix, direction) => {
    // The typed line is on the screen already.
    if (direction === 'out' && !time) return;
    const stamp = time ? `${colour.dim(showTime(unix))} ${direction === 'out' ? colour.cyan('>') : '<'} ` : '';
    for (const row of hex ? hexRows(bytes) : [escapeControls(bytes)]) printLine(stamp + row);
  };
}

function base64(bytes: Buffer): object {
  return { data: bytes.toString('base64'), encoding: 'base64' };
}

function decodeUtf8(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

/** Text that cannot control the terminal: control characters and bytes that are no UTF-8 are written as escapes. */
export function escapeControls(bytes: Buffer): string {
  const text = decodeUtf8(bytes) ?? bytes.toString('latin1').replaceAll(/[\x80-\xff]/g, hexEscape);
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (character) =>
    character === '\t' ? character : hexEscape(character),
  );
}

function hexEscape(character: string): string {
  return `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`;
}

/** Sixteen bytes a row, with their characters behind them. */
export function hexRows(bytes: Buffer): string[] {
  return Array.from({ length: Math.ceil(bytes.length / HEX_ROW) }, (_, row) => {
    const part = bytes.subarray(row * HEX_ROW, (row + 1) * HEX_ROW);
    const numbers = [...part].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = part.toString('latin1').replaceAll(/[^\x20-\x7e]/g, '.');
    return `${numbers.padEnd(3 * HEX_ROW)} ${text}`;
  });
}

/** Receives what a connection has for the monitor. */
interface MonitorOutput {
  /** Bytes as they came in, line ends included. */
  bytes(bytes: Buffer, unix: UnixSeconds): void;
  /** A whole frame that came in, or that somebody else sent, without its line end. */
  frame(bytes: Buffer, unix: UnixSeconds, direction: Direction): void;
  /** A message for the person: the port is open, the port is lost. */
  note(text: string): void;
}

/** A connection to a device that survives its unplugging. */
interface MonitorConnection {
  /** Rejects with PORT_DOWN while the device is away: nothing is sent later. */
  send(bytes: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** Opens a port of this machine or of the network, and reopens it whenever it is lost. */
async function openPort(options: object, output: MonitorOutput): Promise<MonitorConnection> {
  const parsed = serial.options.safeParse({ ...options, framing: 'raw' });
  if (!parsed.success) {
    throw new CliError(exitCodes.wrongUse, formatZodError(parsed.error));
  }
  const note = (detail: object, message: string) => {
    output.note(message);
    if ('code' in detail && detail.code === 'BUSY') {
      output.note('is a running agent using it? Give the name of its port in place of the path to join it');
    }
  };
  const log = { debug() {}, info: note, warn: note, error: note };
  const { path = '' } = parsed.data;
  const runner = new PortRunner(path, serial, parsed.data, [], { clock: systemClock, log });
  runner.onStream((stream) => stream.onFrame((bytes, unix) => output.bytes(Buffer.from(bytes), unix)));
  await runner.start();
  if (runner.state !== 'open') output.note('waiting for it; Ctrl-C ends this');
  return {
    async send(bytes) {
      if (!runner.stream) throw new DcsError('NOT_SUPPORTED', `${path} takes no bytes`);
      await runner.stream.send(bytes);
    },
    close: () => runner.stop(),
  };
}

/** Joins the traffic of a port that a running agent holds. Rejects with TIMEOUT when there is no agent. */
async function attachToAgent(port: string, options: ClientOptions, output: MonitorOutput): Promise<MonitorConnection> {
  const client = await connectClient(options);
  client.bus.on('SerialPortMessage', (data, { timestamp }) => {
    if (!isRecord(data) || data['port'] !== port || typeof data['data'] !== 'string') return;
    // An answer to a command is no traffic.
    if (data['reply_to'] !== undefined) return;
    const bytes = Buffer.from(data['data'], data['encoding'] === 'base64' ? 'base64' : 'utf8');
    const { source_time: unix = timestamp } = data;
    const direction = data['source_time'] === undefined ? 'out' : 'in';
    output.frame(bytes, typeof unix === 'number' ? unix : Date.now() / 1000, direction);
  });
  output.note(`attached to ${port} through the agent`);
  return {
    async send(bytes) {
      const message = { port, data: bytes.toString('base64'), encoding: 'base64' };
      await client.bus.request({ SerialPortMessage: message }, { timeoutMs: options.timeout });
    },
    close: () => client.bus.close(),
  };
}

/** A line without an end is printed after this long (ms) without a byte: it is a prompt that waits for input. */
const IDLE_FLUSH_MS = 200;
const MAX_LINE_BYTES = 4096;
const LF = 0x0a;
const CR = 0x0d;

/** Splits bytes into lines. A line without an end is cut at MAX_LINE_BYTES. */
export class LineSplitter {
  readonly #line: (bytes: Buffer, unix: UnixSeconds) => void;
  readonly #clock: Clock;
  #held = Buffer.alloc(0);
  /** When the first held byte came. */
  #since: UnixSeconds = 0;
  #timer: Timer | undefined;
  /** The last line ended in a carriage return: a line feed that follows belongs to it. */
  #returned = false;

  constructor(line: (bytes: Buffer, unix: UnixSeconds) => void, clock: Clock = systemClock) {
    this.#line = line;
    this.#clock = clock;
  }

  push(bytes: Buffer, unix: UnixSeconds): void {
    this.#timer?.cancel();
    if (this.#held.length === 0) this.#since = unix;
    let rest = Buffer.concat([this.#held, this.#returned && bytes[0] === LF ? bytes.subarray(1) : bytes]);
    this.#returned = false;
    for (let end = rest.indexOf(LF); end >= 0; end = rest.indexOf(LF)) {
      this.#line(rest.subarray(0, end > 0 && rest[end - 1] === CR ? end - 1 : end), this.#since);
      this.#since = unix;
      rest = rest.subarray(end + 1);
    }
    for (; rest.length >= MAX_LINE_BYTES; rest = rest.subarray(MAX_LINE_BYTES))
      this.#line(rest.subarray(0, MAX_LINE_BYTES), this.#since);
    this.#held = rest;
    if (rest.length > 0) this.#timer = this.#clock.after(IDLE_FLUSH_MS, () => this.end());
  }

  /** Passes on the held bytes as the last line. */
  end(): void {
    this.#timer?.cancel();
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    if (rest.length === 0) return;
    this.#returned = rest.at(-1) === CR;
    this.#line(this.#returned ? rest.subarray(0, -1) : rest, this.#since);
  }
}
