import { isUtf8 } from 'node:buffer';
import { createInterface } from 'node:readline';
import type { UnixSeconds } from '../../clock/clock.ts';
import { DcsError, messageOf } from '../../errors/errors.ts';
import { LineCutter } from '../line-cutter.ts';
import { attach, type MonitorLink, type MonitorSink, openDirect } from '../monitor-links.ts';
import { colour, printJson, printLine, printNote, showTime } from '../output.ts';

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

type Way = 'in' | 'out';
type Show = (bytes: Buffer, unix: UnixSeconds, way: Way) => void;

const HEX_ROW = 16;

/** A terminal for a serial port, until Ctrl-C or Ctrl-D: lines in and out, also through a running agent. */
export async function monitor(port: string, options: MonitorOptions): Promise<void> {
  const show = shower(options);
  const cutter = new LineCutter((bytes, unix) => show(bytes, unix, 'in'));
  const sink: MonitorSink = {
    bytes: (bytes, unix) => (options.hex ? show(bytes, unix, 'in') : cutter.push(bytes, unix)),
    frame: show,
    note: (text) => printNote(colour.dim(`-- ${text}`)),
  };
  const { line, flow } = options;
  const link = port.includes('/')
    ? await openDirect({ path: port, line, flow }, sink)
    : await attach(port, options, sink);
  // Nothing else may be alive while the port is away.
  const alive = setInterval(() => {}, 1 << 30);
  const input = createInterface({ input: process.stdin, terminal: false });
  let sending: Promise<void> = Promise.resolve();
  input.on('line', (text) => {
    const bytes = toBytes(text, options);
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

async function sendLine(link: MonitorLink, bytes: Buffer, show: Show, sink: MonitorSink): Promise<void> {
  try {
    await link.send(bytes);
    show(bytes, Date.now() / 1000, 'out');
  } catch (error) {
    const unknown = error instanceof DcsError && error.code === 'TIMEOUT';
    sink.note(`${unknown ? 'whether it was sent is unknown' : 'not sent'}: ${messageOf(error)}`);
  }
}

/** What a typed line sends; or why it cannot. */
function toBytes(text: string, { hex, end }: MonitorOptions): Buffer | string {
  if (!hex) return Buffer.from(text + end, 'utf8');
  const digits = text.replaceAll(/0x|[\s,]/gi, '');
  if (/^([0-9a-f]{2})*$/i.test(digits)) return Buffer.from(digits, 'hex');
  return `not sent: ${JSON.stringify(text)} is not hexadecimal; write bytes like 02 4f 4b 03`;
}

function shower({ hex, time, json }: MonitorOptions): Show {
  if (json) {
    return (bytes, unix, way) => {
      const text = asText(bytes);
      printJson({ time: unix, way, ...(text === undefined ? base64(bytes) : { data: text }) });
    };
  }
  return (bytes, unix, way) => {
    // What was typed is on the screen already.
    if (way === 'out' && !time) return;
    const stamp = time ? `${colour.dim(showTime(unix))} ${way === 'out' ? colour.cyan('>') : '<'} ` : '';
    for (const row of hex ? hexRows(bytes) : [readable(bytes)]) printLine(stamp + row);
  };
}

function base64(bytes: Buffer): object {
  return { data: bytes.toString('base64'), encoding: 'base64' };
}

function asText(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

/** Text that cannot upset a terminal: control characters and bytes that are no UTF-8 are written as escapes. */
export function readable(bytes: Buffer): string {
  const text = asText(bytes) ?? bytes.toString('latin1').replaceAll(/[\x80-\xff]/g, escaped);
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (character) =>
    character === '\t' ? character : escaped(character),
  );
}

function escaped(character: string): string {
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
