import { readSync, realpathSync, writeFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { type Clock, sleep, withDeadline } from '../../../src/clock/clock.ts';
import type { Link, LinkEvents } from '../../../src/driver/kit/link.ts';
import type { LineSettings } from '../../../src/driver/kit/schemas.ts';
import { DcsError, messageOf, systemCode } from '../../../src/errors/errors.ts';

const CLOSE_LIMIT_MS = 400;
const RETRY_MS = 2;
const READ_SIZE = 4096;

/** serialport raises both lines with whatever else it sets. */
const LOW_LATENCY = { lowLatency: true, dtr: true, rts: true };

/** The parts of serialport's Linux binding used here. */
export interface Line {
  readonly fd: number | null;
  readonly poller: { once(event: 'readable', told: (error: Error | null) => void): unknown };
  close(): Promise<void>;
  set(options: { dtr: boolean; rts: boolean }): Promise<void>;
  drain(): Promise<void>;
  update(options: { baudRate: number }): Promise<void>;
}

type OpenLine = (path: string, line: LineSettings) => Promise<Line>;

export interface SerialLinkOptions {
  readonly path: string;
  /** The line settings of a unit. */
  line(unit: number): LineSettings;
  /** The settings to open with. */
  readonly first: LineSettings;
  /** Who turns the transceiver round. */
  readonly rs485: Rs485Mode;
  warn(message: string): void;
}

/**
 * Opens a serial line; `undefined` with the reason when this machine has no serial ports. serialport opens, locks and
 * configures it and watches the descriptor. Reading and writing are done on the descriptor itself: serialport's stream
 * may read a hung-up line for ever, and sends what was written to a closed port after the next open.
 */
export async function openSerial(
  settings: SerialLinkOptions,
  clock: Clock,
  events: LinkEvents,
): Promise<SerialLink | string> {
  const bare = await loadBinding();
  if (typeof bare === 'string') return bare;
  const open: OpenLine = async (path, wanted) => {
    const line = await bare(path, wanted);
    if (settings.rs485 !== 'kernel' || line.fd === null) return line;
    try {
      await useKernelRs485(line.fd, path);
    } catch (error) {
      await line.close();
      throw error;
    }
    return line;
  };
  const line = await open(settings.path, settings.first);
  return new SerialLink(open, line, settings, clock, events);
}

export class SerialLink implements Link {
  readonly #open: OpenLine;
  readonly #options: SerialLinkOptions;
  readonly #clock: Clock;
  readonly #events: LinkEvents;
  readonly #buffer = Buffer.allocUnsafe(READ_SIZE);
  #line: Line | undefined;
  #current: LineSettings;
  #ended = false;
  /** Told once, not at every change of parity. */
  #warned = false;

  constructor(open: OpenLine, line: Line, settings: SerialLinkOptions, clock: Clock, events: LinkEvents) {
    this.#open = open;
    this.#options = settings;
    this.#current = settings.first;
    this.#clock = clock;
    this.#events = events;
    this.#useLine(line);
  }

  send(bytes: Buffer): void {
    void this.#write(bytes);
  }

  ready(unit: number): boolean {
    return sameSettings(this.#options.line(unit), this.#current);
  }

  /** Other units of the bus may have other settings. Baud rates change in place; parity takes a close and an open. */
  async prepare(unit: number): Promise<void> {
    const wanted = this.#options.line(unit);
    if (this.#ended || sameSettings(wanted, this.#current)) return;
    try {
      const line = this.#line;
      if (line && sameSettings({ ...wanted, baud: this.#current.baud }, this.#current)) {
        await line.update({ baudRate: wanted.baud });
      } else {
        this.#line = undefined;
        await line?.close();
        this.#useLine(await this.#open(this.#options.path, wanted));
      }
      this.#current = wanted;
    } catch (error) {
      this.#fail(messageOf(error));
      throw this.#goneError(messageOf(error));
    }
    if (this.#isEnded()) await this.close();
  }

  async close(): Promise<void> {
    this.#ended = true;
    const line = this.#line;
    this.#line = undefined;
    if (!line) return;
    const late = () => new DcsError('TIMEOUT', 'the kernel is slow to close');
    // A close that fails leaves nothing to do: the descriptor is gone either way.
    await withDeadline(this.#clock, CLOSE_LIMIT_MS, line.close(), late).catch(() => undefined);
  }

  #useLine(line: Line): void {
    this.#line = line;
    // A wish: drivers without it refuse, and the line works all the same, its replies up to 16 ms later.
    line.set({ ...LOW_LATENCY, rts: this.#options.rs485 === 'off' }).catch((error: unknown) => {
      if (this.#warned || shortenLatency(this.#options.path)) return;
      this.#warned = true;
      this.#options.warn(`${this.#options.path} has no low latency mode (${messageOf(error)}): replies come later`);
    });
    this.#watchReadable(line);
  }

  #watchReadable(line: Line): void {
    line.poller.once('readable', (error) => {
      if (this.#ended || this.#line !== line) return;
      if (error) this.#fail(error.message);
      else this.#read(line);
    });
  }

  catchUp(): void {
    if (!this.#ended && this.#line) this.#receive(this.#line);
  }

  #read(line: Line): void {
    this.#receive(line);
    if (!this.#ended && this.#line === line) this.#watchReadable(line);
  }

  #receive(line: Line): void {
    try {
      const count = line.fd === null ? 0 : readSync(line.fd, this.#buffer, 0, READ_SIZE, null);
      if (count === 0) this.#fail('hung up');
      else this.#events.data(Buffer.from(this.#buffer.subarray(0, count)));
    } catch (error) {
      if (!wouldBlock(error)) this.#fail(messageOf(error));
    }
  }

  /** Where this process turns the transceiver round it does so late: a reply within that time is lost. */
  async #write(bytes: Buffer): Promise<void> {
    const line = this.#options.rs485 === 'rts' ? this.#line : undefined;
    try {
      await line?.set({ ...LOW_LATENCY, rts: true });
      await this.#writeAll(bytes);
      await line?.drain();
      await line?.set({ ...LOW_LATENCY, rts: false });
    } catch (error) {
      if (line === this.#line) this.#fail(messageOf(error));
    }
  }

  async #writeAll(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#ended; ) {
      const fd = this.#line?.fd;
      if (fd === null || fd === undefined) return;
      try {
        at += writeSync(fd, bytes, at);
      } catch (error) {
        if (!wouldBlock(error)) return this.#fail(messageOf(error));
        await sleep(this.#clock, RETRY_MS);
      }
    }
  }

  #fail(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const line = this.#line;
    this.#line = undefined;
    // The line is lost already; a close that fails has nothing to add to the reason told below.
    line?.close().catch(() => undefined);
    this.#events.down(this.#goneError(why));
  }

  #isEnded(): boolean {
    return this.#ended;
  }

  #goneError(why: string): DcsError {
    return new DcsError('PORT_DOWN', `${this.#options.path} is gone (${why})`, { expected: 'a plugged-in adapter' });
  }
}

/** FTDI adapters keep bytes for up to 16 ms unless told otherwise. Returns whether this one could be told. */
function shortenLatency(path: string): boolean {
  try {
    writeFileSync(`/sys/class/tty/${basename(realpathSync(path))}/device/latency_timer`, '1');
    return true;
  } catch {
    // No such adapter, or not ours to set: the caller says so.
    return false;
  }
}

function sameSettings(a: LineSettings, b: LineSettings): boolean {
  return a.baud === b.baud && a.dataBits === b.dataBits && a.parity === b.parity && a.stopBits === b.stopBits;
}

function wouldBlock(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'EAGAIN' || code === 'EINTR';
}

/** serialport's opener, or why there is none. */
async function loadBinding(): Promise<OpenLine | string> {
  try {
    const { SerialPort } = await import('serialport');
    return async (path, { baud, dataBits, parity, stopBits }) => {
      const opened = await SerialPort.binding
        .open({ path, baudRate: baud, dataBits, parity, stopBits, lock: true })
        .catch((error: unknown) => {
          throw serialError(path, error);
        });
      if ('poller' in opened) return opened;
      await opened.close();
      throw new DcsError('NOT_SUPPORTED', `serial ports are not supported on ${process.platform}`);
    };
  } catch (error) {
    return `the npm package serialport cannot be loaded: ${messageOf(error)}`;
  }
}

/** asm-generic/ioctls.h; other only on MIPS, SPARC, Alpha and PowerPC. */
const TIOCSRS485 = 0x542f;
/** struct serial_rs485 (linux/serial.h): flags, two delays in ms, padding: 32 bytes. */
const SIZE = 32;
const ENABLED = 1 << 0;
const RTS_ON_SEND = 1 << 1;

/** Who turns an RS-485 transceiver round: nobody (it does so itself), the kernel's driver, or this process with RTS. */
export type Rs485Mode = 'off' | 'kernel' | 'rts';

/** The structure that TIOCSRS485 takes. */
export function rs485Settings(): Buffer {
  const settings = Buffer.alloc(SIZE);
  settings.writeUInt32LE(ENABLED | RTS_ON_SEND, 0);
  return settings;
}

/** Has the kernel turn the line round. Throws NOT_SUPPORTED where the line's driver cannot. */
export async function useKernelRs485(fd: number, path: string): Promise<void> {
  const refused = (why: string, cause?: unknown) =>
    new DcsError('NOT_SUPPORTED', `${path} has no RS-485 mode in the kernel (${why})`, {
      expected: 'rs485: off for adapters that turn round by themselves, or rs485: rts',
      cause,
    });
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw refused(`the npm package koffi does not load: ${messageOf(cause)}`, cause);
  });
  const ioctl: (fd: number, request: number, argument: Uint8Array) => number = koffi
    .load(null)
    .func('int ioctl(int fd, unsigned long request, void *argument)');
  if (ioctl(fd, TIOCSRS485, rs485Settings()) < 0) throw refused(getSystemErrorName(-koffi.errno()));
}

/** What went wrong with opening a serial line. serialport gives no codes, only the C library's text. */
export function serialError(path: string, cause: unknown): DcsError {
  const found = messageOf(cause).replace(/^Error:?\s*/, '');
  if (/permission denied|operation not permitted/i.test(found))
    return new DcsError('NO_PERMISSION', `this process may not open ${path}`, {
      found,
      expected: 'membership in the group of the device, on Debian: sudo usermod -aG dialout $USER, then log in anew',
      cause,
    });
  if (/cannot lock|busy/i.test(found))
    return new DcsError('BUSY', `another program holds ${path}`, {
      found,
      expected: `fuser -v ${path} names it`,
      cause,
    });
  if (/inappropriate ioctl|is a directory/i.test(found))
    return new DcsError('NOT_SUPPORTED', `${path} is not a serial port`, { found, cause });
  return new DcsError('PORT_DOWN', `${path} cannot be opened: ${found}`, {
    found,
    expected: 'a plugged-in adapter; ls -l /dev/serial/by-id shows those that are',
    cause,
  });
}
