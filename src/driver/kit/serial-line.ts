import { readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type Clock, withDeadline } from '../../clock/clock.ts';
import { DcsError, messageOf, systemCode } from '../../errors/errors.ts';
import type { LineSettings } from './schemas.ts';

/** Longest wait (ms) for the kernel to close a line. */
const CLOSE_LIMIT_MS = 400;

/** An open serial line: the parts of serialport's Linux binding that drivers use. */
export interface SerialLine {
  readonly fd: number | null;
  readonly poller: { once(event: 'readable', listener: (error: Error | null) => void): unknown };
  close(): Promise<void>;
  /** Throws away bytes that have not been sent. */
  flush(): Promise<void>;
  /** Resolves when all bytes have left. */
  drain(): Promise<void>;
  set(options: { readonly lowLatency?: boolean; readonly dtr: boolean; readonly rts: boolean }): Promise<void>;
  update(options: { readonly baudRate: number }): Promise<void>;
}

/** Options to open a serial line. */
export interface SerialLineOptions {
  readonly path: string;
  readonly line: LineSettings;
  readonly flow?: 'none' | 'rtscts' | 'xonxoff';
  /** Drop DTR when the line is closed. */
  readonly hupcl?: boolean;
}

/**
 * Opens, locks and configures a serial line. Resolves with the reason as text when this machine supports none. Rejects with
 * NO_PERMISSION, BUSY, PORT_DOWN (not plugged in) or NOT_SUPPORTED (no serial port).
 *
 * Read and write on the non-blocking descriptor itself. serialport's stream
 * - reads a hung-up line for ever (read returns 0 bytes, which it takes for 'try again') when it is unplugged while data
 *   comes in: the hangup is never reported and a core is busy;
 * - stops reading while it waits for room to write;
 * - queues what is written to a closed port and sends it after the next open.
 */
export async function openSerialLine(options: SerialLineOptions): Promise<SerialLine | string> {
  const loaded = await import('serialport').catch((error: unknown) => messageOf(error));
  if (typeof loaded === 'string') return `the npm package serialport cannot be loaded: ${loaded}`;
  const { path, flow = 'none', hupcl = true } = options;
  const { baud, dataBits, parity, stopBits } = options.line;
  const opened = await loaded.SerialPort.binding
    .open({
      path,
      baudRate: baud,
      dataBits,
      parity,
      stopBits,
      lock: true,
      hupcl,
      rtscts: flow === 'rtscts',
      xon: flow === 'xonxoff',
      xoff: flow === 'xonxoff',
    })
    .catch((error: unknown) => {
      throw serialOpenError(path, error);
    });
  if ('poller' in opened && opened.fd !== null) return opened;
  await opened.close();
  return `serial ports are not supported on ${process.platform}`;
}

/** Closes a line; resolves after 400 ms at the latest. An error is ignored: the descriptor is closed either way. */
export async function closeSerialLine(line: Pick<SerialLine, 'close'>, clock: Clock): Promise<void> {
  const late = () => new DcsError('TIMEOUT', 'the kernel is slow to close');
  await withDeadline(clock, CLOSE_LIMIT_MS, line.close(), late).catch(() => undefined);
}

/** FTDI adapters keep bytes for up to 16 ms by default. Returns whether the adapter's timer could be set to 1 ms. */
export function shortenUsbLatency(path: string): boolean {
  try {
    // The path may be a link of /dev/serial/by-id.
    writeFileSync(`/sys/class/tty/${basename(realpathSync(path))}/device/latency_timer`, '1');
    return true;
  } catch {
    // No such adapter, or no right to set it: the caller reports it.
    return false;
  }
}

/** Returns whether a read or write would block, so that it is to be tried again later. */
export function wouldBlock(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'EAGAIN' || code === 'EINTR';
}

/** Error of opening a serial line, with what a person can do. serialport gives no codes, only the C library's text. */
function serialOpenError(path: string, cause: unknown): DcsError {
  const found = messageOf(cause).replace(/^Error:?\s*/, '');
  if (/permission denied|operation not permitted/i.test(found)) {
    const group = groupOf(path);
    return new DcsError('NO_PERMISSION', `this process may not open ${path}: it belongs to the group ${group}`, {
      found,
      expected: `membership: sudo usermod -aG ${group} $USER, then log in anew`,
      cause,
    });
  }
  if (/cannot lock|busy/i.test(found)) {
    const expected = `nobody else on it; 'fuser -v ${path}' names the program`;
    return new DcsError('BUSY', `another program holds ${path}`, { found, expected, cause });
  }
  if (/inappropriate ioctl|is a directory/i.test(found)) {
    return new DcsError('NOT_SUPPORTED', `${path} is not a serial port`, { found, cause });
  }
  if (/no such|not configured|input\/output error/i.test(found)) {
    const expected = 'a plugged-in device; ls -l /dev/serial/by-id shows those that are';
    return new DcsError('PORT_DOWN', `${path} is not there`, { found, expected, cause });
  }
  return new DcsError('PORT_DOWN', `${path} cannot be opened: ${found}`, { found, cause });
}

/** Name of the group that a device belongs to; dialout on Debian. */
function groupOf(path: string): string {
  try {
    const { gid } = statSync(path);
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((entry) => entry.split(':')[2] === String(gid));
    return line?.split(':')[0] ?? String(gid);
  } catch {
    // The file is not visible, or this system has no such file: use the group that Debian gives serial ports.
    return 'dialout';
  }
}
