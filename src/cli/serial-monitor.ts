import { isUtf8 } from 'node:buffer';
import { createInterface } from 'node:readline';
import { serial } from '../../drivers/serial/driver.ts';
import { type Clock, systemClock, type Timer, type UnixSeconds } from '../clock/clock.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import { PortRunner } from '../io/port-runner.ts';
import { isRecord } from '../message/envelope.ts';
import { BusClient, busEndpoint } from './bus-client.ts';
import { CliError, exitCodes, formatZodError } from './exit.ts';
import { colour, printJson, printLine, printNote, showTime } from './output.ts';

export interface MonitorOptions {
  readonly line: string;
  readonly flow: string;
  /** Sent after each line. */
  readonly end: string;
  readonly hex?: boolean;
  readonly time?: boolean;
  readonly json?: boolean;
  readonly bus?: string;
  readonly timeout: number;
}

type Direction = 'in' | 'out';
type Printer = (bytes: Buffer, unix: UnixSeconds, way: Direction) => void;

const HEX_ROW = 16;

/** A terminal for a serial port, until Ctrl-C or Ctrl-D: lines in and out, also through a running agent. */
export async function monitor(port: string, options: MonitorOptions): Promise<void> {
  const show = createPrinter(options);
  const cutter = new LineSplitter((bytes, unix) => show(bytes, unix, 'in'));
  const sink: MonitorOutput = {
    bytes: (bytes, unix) => (options.hex ? show(bytes, unix, 'in') : cutter.push(bytes, unix)),
    frame: show,
    note: (text) => printNote(colour.dim(`-- ${text}`)),
  };
  const { line, flow } = options;
  const link = port.includes('/')
    ? await openPort({ path: port, line, flow }, sink)
    : await attachToAgent(port, options, sink);
  // Nothing else may be alive while the port is away.
  const alive = setInterval(() => {}, 1 << 30);
  const input = createInterface({ input: process.stdin, terminal: false });
  let sending: Promise<void> = Promise.resolve();
  input.on('line', (text) => {
    const bytes = encodeInput(text, options);
    if (typeof bytes === 'string') sink.note(bytes);
    // One after the other, in the order typed.
    else sending = sending.then(() => sendLine(link, bytes, show, sink));
  });
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
    process.stdout.once('error', () => resolve());
    // The end of a pipe is not the end of the answers; Ctrl-D is.
    input.once('close', () => process.stdin.isTTY && resolve());
  });
  clearInterval(alive);
  input.close();
  cutter.end();
  await link.close();
}

async function sendLine(link: MonitorConnection, bytes: Buffer, show: Printer, sink: MonitorOutput): Promise<void> {
  try {
    await link.send(bytes);
    show(bytes, Date.now() / 1000, 'out');
  } catch (error) {
    const unknown = error instanceof DcsError && error.code === 'TIMEOUT';
    sink.note(`${unknown ? 'whether it was sent is unknown' : 'not sent'}: ${messageOf(error)}`);
  }
}

/** What a typed line sends; or why it cannot. */
function encodeInput(text: string, { hex, end }: MonitorOptions): Buffer | string {
  if (!hex) return Buffer.from(text + end, 'utf8');
  const digits = text.replaceAll(/0x|[\s,]/gi, '');
  if (/^([0-9a-f]{2})*$/i.test(digits)) return Buffer.from(digits, 'hex');
  return `not sent: ${JSON.stringify(text)} is not hexadecimal; write bytes like 02 4f 4b 03`;
}

function createPrinter({ hex, time, json }: MonitorOptions): Printer {
  if (json) {
    return (bytes, unix, way) => {
      const text = decodeUtf8(bytes);
      printJson({ time: unix, way, ...(text === undefined ? base64(bytes) : { data: text }) });
    };
  }
  return (bytes, unix, way) => {
    // What was typed is on the screen already.
    if (way === 'out' && !time) return;
    const stamp = time ? `${colour.dim(showTime(unix))} ${way === 'out' ? colour.cyan('>') : '<'} ` : '';
    for (const row of hex ? hexRows(bytes) : [escapeControls(bytes)]) printLine(stamp + row);
  };
}

function base64(bytes: Buffer): object {
  return { data: bytes.toString('base64'), encoding: 'base64' };
}

function decodeUtf8(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

/** Text that cannot upset a terminal: control characters and bytes that are no UTF-8 are written as escapes. */
export function escapeControls(bytes: Buffer): string {
  const text = decodeUtf8(bytes) ?? bytes.toString('latin1').replaceAll(/[\x80-\xff]/g, hexEscape);
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (character) =>
    character === '\t' ? character : hexEscape(character),
  );
}

function hexEscape(character: string): string {
  return `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`;
}

/** Sixteen bytes a row, their characters beside them. */
export function hexRows(bytes: Buffer): string[] {
  return Array.from({ length: Math.ceil(bytes.length / HEX_ROW) }, (_, row) => {
    const part = bytes.subarray(row * HEX_ROW, (row + 1) * HEX_ROW);
    const numbers = [...part].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = part.toString('latin1').replaceAll(/[^\x20-\x7e]/g, '.');
    return `${numbers.padEnd(3 * HEX_ROW)} ${text}`;
  });
}

/** What a link tells a monitor. */
export interface MonitorOutput {
  /** Bytes came in as they are: line ends are among them. */
  bytes(bytes: Buffer, unix: UnixSeconds): void;
  /** A whole frame came in, or somebody else sent one; its line end has been taken off. */
  frame(bytes: Buffer, unix: UnixSeconds, way: 'in' | 'out'): void;
  /** Something a person should know: the port is open, it is gone. */
  note(text: string): void;
}

/** A way to a device that lasts longer than the device's connection. */
export interface MonitorConnection {
  /** Rejects with PORT_DOWN while the device is away: nothing is sent later. */
  send(bytes: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** Opens a port of this machine or of the network, and again whenever it is lost. */
export async function openPort(options: object, sink: MonitorOutput): Promise<MonitorConnection> {
  const parsed = serial.options.safeParse({ ...options, framing: 'raw' });
  if (!parsed.success) {
    throw new CliError(exitCodes.wrongUse, formatZodError(parsed.error));
  }
  const say = (detail: object, message: string) => {
    sink.note(message);
    if ('code' in detail && detail.code === 'BUSY') {
      sink.note('is it a running agent? The name of its port instead of the path joins it');
    }
  };
  const log = { debug() {}, info: say, warn: say, error: say };
  const { path = '' } = parsed.data;
  const runner = new PortRunner(path, serial, parsed.data, [], { clock: systemClock, log });
  runner.onStream((stream) => stream.onFrame((bytes, unix) => sink.bytes(Buffer.from(bytes), unix)));
  await runner.start();
  if (runner.state !== 'open') sink.note('waiting for it; Ctrl-C ends this');
  return {
    async send(bytes) {
      if (!runner.stream) throw new DcsError('NOT_SUPPORTED', `${path} takes no bytes`);
      await runner.stream.send(bytes);
    },
    close: () => runner.stop(),
  };
}

/** Joins the traffic of a port that a running agent holds. Rejects with TIMEOUT when there is no agent. */
export async function attachToAgent(
  port: string,
  options: { readonly bus?: string; readonly timeout: number },
  sink: MonitorOutput,
): Promise<MonitorConnection> {
  const client = new BusClient(busEndpoint(options.bus));
  client.actor.on('SerialPortMessage', (data, { timestamp }) => {
    if (!isRecord(data) || data['port'] !== port || typeof data['data'] !== 'string') return;
    // An answer to a command is no traffic.
    if (data['reply_to'] !== undefined) return;
    const bytes = Buffer.from(data['data'], data['encoding'] === 'base64' ? 'base64' : 'utf8');
    const { source_time: unix = timestamp } = data;
    const way = data['source_time'] === undefined ? 'out' : 'in';
    sink.frame(bytes, typeof unix === 'number' ? unix : Date.now() / 1000, way);
  });
  await client.connect(options.timeout).catch(async (error: unknown) => {
    await client.close();
    throw error;
  });
  sink.note(`attached to ${port} through the agent`);
  return {
    async send(bytes) {
      const message = { port, data: bytes.toString('base64'), encoding: 'base64' };
      await client.actor.request({ SerialPortMessage: message }, { timeoutMs: options.timeout });
    },
    close: () => client.close(),
  };
}

/** A line without an end is shown after this long (ms) without a byte: a prompt waits for an answer. */
const IDLE_FLUSH_MS = 200;
const MAX_LINE_BYTES = 4096;
const LF = 0x0a;
const CR = 0x0d;

/** Cuts bytes into lines for a person to read. Bounded: a line that has no end is cut. */
export class LineSplitter {
  readonly #line: (bytes: Buffer, unix: UnixSeconds) => void;
  readonly #clock: Clock;
  #held = Buffer.alloc(0);
  /** When the first byte of the held ones came. */
  #since: UnixSeconds = 0;
  #timer: Timer | undefined;
  /** What was shown last ended in a carriage return: a line feed that follows belongs to it. */
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

  /** Shows what is left. */
  end(): void {
    this.#timer?.cancel();
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    if (rest.length === 0) return;
    this.#returned = rest.at(-1) === CR;
    this.#line(this.#returned ? rest.subarray(0, -1) : rest, this.#since);
  }
}
