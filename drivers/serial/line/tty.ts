import { readSync, realpathSync, writeFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { type Clock, type DurationMs, sleep, withDeadline } from '../../../src/clock/clock.ts';
import type { DriverContext } from '../../../src/driver/contract.ts';
import type { LineSettings } from '../../../src/driver/kit/schemas.ts';
import { serialOpenError } from '../../../src/driver/kit/serial-error.ts';
import { DcsError, messageOf, systemCode } from '../../../src/errors/errors.ts';
import type { Log } from '../../../src/log/log.ts';
import type { DrivenLine, ModemControl, SensedLine, Transport, TransportEvents } from './transport.ts';

/** Read at one go. A tty gives at most 4 KiB; frames are views into this, so it is left behind rather than reused. */
const POOL = 65_536;
const LEAST_ROOM = 4096;
/** A full output buffer is tried again after this long (ms): at 115200 baud 58 of its 4096 bytes have gone by then. */
const RETRY_MS = 5;
/** A close may wait for the kernel; the port's owner does not wait longer than this (ms). */
const CLOSE_LIMIT_MS = 400;

/** How a line is to be opened. */
export interface TtyOptions {
  readonly path: string;
  readonly line: LineSettings;
  readonly flow: 'none' | 'rtscts' | 'xonxoff';
  /** Drop DTR when the line is closed. */
  readonly hupcl: boolean;
  readonly lowLatency: boolean;
}

/** The parts of serialport's Linux binding used here. */
interface Line {
  readonly fd: number | null;
  readonly poller: { once(event: 'readable', told: (error: Error | null) => void): unknown };
  close(): Promise<void>;
  flush(): Promise<void>;
}

export type TtyOpened =
  | { readonly kind: 'transport'; readonly transport: Tty }
  | { readonly kind: 'skipped'; readonly reason: string };

/**
 * A serial line of the kernel. serialport opens, locks and configures it and watches the descriptor; reading and
 * writing are done here, on the non-blocking descriptor itself, because serialport's stream
 * - reads a hung-up line for ever (read gives 0 bytes, which it takes for 'try again') when it is torn out while data
 *   comes in: the hangup is never told and a core is busy;
 * - stops reading while it waits for room to write;
 * - queues what is written to a closed port and sends it after the next open.
 */
export class Tty implements Transport {
  readonly control?: ModemControl;
  readonly #line: Line;
  readonly #fd: number;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #events: TransportEvents;
  readonly #marks: ErrorMarks | undefined;
  #pool = Buffer.allocUnsafe(POOL);
  #used = 0;
  #ended: DcsError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(line: Line, fd: number, path: string, clock: Clock, events: TransportEvents, extras: Extras) {
    this.#line = line;
    this.#fd = fd;
    this.#path = path;
    this.#clock = clock;
    this.#events = events;
    if (extras.marked) {
      this.#marks = new ErrorMarks(
        (bytes) => this.#ended ?? events.data(bytes),
        (byte) => this.#ended ?? events.damaged(byte),
      );
    }
    const { ioctl } = extras;
    if (ioctl) {
      const alive = () => {
        if (this.#ended) throw this.#ended;
      };
      this.control = {
        drive: (name, on) => {
          alive();
          drive(ioctl, fd, name, on);
        },
        sense: () => {
          alive();
          return sense(ioctl, fd);
        },
      };
    }
    this.#watchReadable();
  }

  /** Rejects with NO_PERMISSION, BUSY, PORT_DOWN (not there; it may be plugged in) or NOT_SUPPORTED (no serial port). */
  static async open(settings: TtyOptions, context: DriverContext, events: TransportEvents): Promise<TtyOpened> {
    const loaded = await loadBinding();
    if (typeof loaded === 'string') return { kind: 'skipped', reason: loaded };
    const { path, flow, hupcl } = settings;
    const { baud, dataBits, parity, stopBits } = settings.line;
    const shape = { path, baudRate: baud, dataBits, parity, stopBits, lock: true, hupcl };
    const control = { rtscts: flow === 'rtscts', xon: flow === 'xonxoff', xoff: flow === 'xonxoff' };
    const opened = await loaded.open({ ...shape, ...control }).catch((error: unknown) => {
      throw serialOpenError(path, error);
    });
    if (!('poller' in opened) || opened.fd === null) {
      await opened.close();
      return { kind: 'skipped', reason: `serial ports are not supported on ${process.platform}` };
    }
    const extras = await configureTty(opened.fd, settings, context);
    return { kind: 'transport', transport: new Tty(opened, opened.fd, path, context.clock, events, extras) };
  }

  async send(bytes: Uint8Array, limit: DurationMs): Promise<void> {
    const end = this.#clock.now() + limit;
    for (let at = 0; ; ) {
      if (this.#ended) throw this.#ended;
      at += this.#write(bytes, at);
      if (at >= bytes.length) return;
      if (this.#clock.now() >= end) {
        await this.#line.flush().catch((error: unknown) => this.#fail(messageOf(error)));
        throw new DcsError('TIMEOUT', `${this.#path} took ${at} of ${bytes.length} bytes in ${limit} ms`, {
          expected: 'a device that does not hold bytes off (flow control) for that long',
        });
      }
      await sleep(this.#clock, RETRY_MS);
    }
  }

  close(): Promise<void> {
    this.#ended ??= new DcsError('PORT_DOWN', `${this.#path} is closed`);
    this.#closing ??= this.#release();
    return this.#closing;
  }

  async #release(): Promise<void> {
    const late = () => new DcsError('TIMEOUT', 'the kernel is slow to close');
    // Nothing is left to do about a close that fails; the descriptor is gone either way.
    await withDeadline(this.#clock, CLOSE_LIMIT_MS, this.#line.close(), late).catch(() => undefined);
  }

  #watchReadable(): void {
    this.#line.poller.once('readable', (error) => {
      if (this.#ended) return;
      if (error) this.#fail(error.message);
      else this.#read();
    });
  }

  #read(): void {
    if (POOL - this.#used < LEAST_ROOM) {
      this.#pool = Buffer.allocUnsafe(POOL);
      this.#used = 0;
    }
    try {
      const count = readSync(this.#fd, this.#pool, this.#used, POOL - this.#used, null);
      if (count === 0) {
        this.#fail('hung up');
        return;
      }
      const bytes = this.#pool.subarray(this.#used, this.#used + count);
      this.#used += count;
      if (this.#marks) this.#marks.push(bytes);
      else this.#events.data(bytes);
    } catch (error) {
      if (!wouldBlock(error)) this.#fail(messageOf(error));
    }
    if (!this.#ended) this.#watchReadable();
  }

  /** Writes what fits now; gives the number of bytes. */
  #write(bytes: Uint8Array, from: number): number {
    try {
      return writeSync(this.#fd, bytes, from);
    } catch (error) {
      if (wouldBlock(error)) return 0;
      throw this.#fail(messageOf(error));
    }
  }

  #fail(why: string): DcsError {
    if (this.#ended) return this.#ended;
    const error = new DcsError('PORT_DOWN', `${this.#path} is gone (${why})`, {
      expected: 'a plugged-in, switched-on device',
    });
    this.#ended = error;
    this.#events.lost(error);
    return error;
  }
}

/** What is set beyond serialport's means. */
interface Extras {
  /** Bytes with errors come marked. */
  readonly marked: boolean;
  readonly ioctl?: Awaited<ReturnType<typeof loadIoctl>>;
}

async function configureTty(fd: number, settings: TtyOptions, { log }: DriverContext): Promise<Extras> {
  const { path } = settings;
  try {
    const ioctl = await loadIoctl();
    markErrors(ioctl, fd, settings.hupcl);
    if (settings.lowLatency) lowLatency(ioctl, fd, path, log);
    return { marked: true, ioctl };
  } catch (error) {
    log.warn({ path }, `${path}: bytes with parity errors are left out instead of marked: ${messageOf(error)}`);
    return { marked: false };
  }
}

function wouldBlock(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'EAGAIN' || code === 'EINTR';
}

/** serialport's binding, or why there is none. */
async function loadBinding() {
  try {
    const { SerialPort } = await import('serialport');
    return SerialPort.binding;
  } catch (error) {
    return `the npm package serialport cannot be loaded: ${messageOf(error)}`;
  }
}

/** Numbers of asm-generic/ioctls.h and termbits.h: x86, ARM, RISC-V. */
const TCGETS2 = 0x802c542a;
const TCSETS2 = 0x402c542b;
const TIOCMGET = 0x5415;
const TIOCMBIS = 0x5416;
const TIOCMBIC = 0x5417;
const TIOCGSERIAL = 0x541e;
const TIOCSSERIAL = 0x541f;
const TIOCSBRK = 0x5427;
const TIOCCBRK = 0x5428;
const DRIVEN: Readonly<Record<'dtr' | 'rts', number>> = { dtr: 0x002, rts: 0x004 };
const SENSED: Readonly<Record<SensedLine, number>> = { cts: 0x020, dcd: 0x040, ri: 0x080, dsr: 0x100 };

/** struct termios2: c_iflag at 0, c_cflag at 8; 44 bytes. */
const TERMIOS_SIZE = 44;
const IFLAG = 0;
const CFLAG = 8;
const IGNPAR = 0o4;
const PARMRK = 0o10;
const INPCK = 0o20;
const HUPCL = 0o2000;

/** struct serial_struct: flags at 16; at most 72 bytes. */
const SERIAL_SIZE = 128;
const SERIAL_FLAGS = 16;
const ASYNC_LOW_LATENCY = 1 << 13;

type Ioctl = (fd: number, request: number, argument: Uint8Array) => void;

/** What serialport cannot set on a line. Throws where koffi has no build. */
export async function loadIoctl(): Promise<Ioctl> {
  const { default: koffi } = await import('koffi');
  const call: (fd: number, request: number, argument: Uint8Array) => number = koffi
    .load(null)
    .func('int ioctl(int fd, unsigned long request, void *argument)');
  return (fd, request, argument) => {
    if (call(fd, request, argument) >= 0) return;
    const code = getSystemErrorName(-koffi.errno());
    const gone = code === 'EIO' || code === 'ENODEV' || code === 'EBADF';
    throw new DcsError(gone ? 'PORT_DOWN' : 'NOT_SUPPORTED', `this serial line cannot do that (${code})`);
  };
}

/**
 * Makes the kernel mark bytes with a parity or framing error. serialport has them left out, which turns `12.5` with a
 * disturbed 2 into `1.5`. And leaves HUPCL clear when asked: serialport can only set it.
 */
export function markErrors(ioctl: Ioctl, fd: number, hupcl: boolean): void {
  const termios = Buffer.alloc(TERMIOS_SIZE);
  ioctl(fd, TCGETS2, termios);
  termios.writeUInt32LE(((termios.readUInt32LE(IFLAG) & ~IGNPAR) | PARMRK | INPCK) >>> 0, IFLAG);
  const cflag = termios.readUInt32LE(CFLAG);
  termios.writeUInt32LE((hupcl ? cflag | HUPCL : cflag & ~HUPCL) >>> 0, CFLAG);
  ioctl(fd, TCSETS2, termios);
}

export function drive(ioctl: Ioctl, fd: number, line: DrivenLine, on: boolean): void {
  if (line === 'break') {
    ioctl(fd, on ? TIOCSBRK : TIOCCBRK, Buffer.alloc(4));
    return;
  }
  const bits = Buffer.alloc(4);
  bits.writeInt32LE(DRIVEN[line]);
  ioctl(fd, on ? TIOCMBIS : TIOCMBIC, bits);
}

export function sense(ioctl: Ioctl, fd: number): Record<SensedLine, boolean> {
  const bits = Buffer.alloc(4);
  ioctl(fd, TIOCMGET, bits);
  const on = (line: SensedLine) => (bits.readInt32LE() & SENSED[line]) !== 0;
  return { cts: on('cts'), dsr: on('dsr'), dcd: on('dcd'), ri: on('ri') };
}

/**
 * Asks the kernel's driver to pass bytes on at once; FTDI adapters otherwise keep them for up to 16 ms. Hardware that
 * cannot works on, later than asked: that is a warning.
 */
export function lowLatency(ioctl: Ioctl, fd: number, path: string, log: Log): void {
  try {
    const serial = Buffer.alloc(SERIAL_SIZE);
    ioctl(fd, TIOCGSERIAL, serial);
    serial.writeInt32LE(serial.readInt32LE(SERIAL_FLAGS) | ASYNC_LOW_LATENCY, SERIAL_FLAGS);
    ioctl(fd, TIOCSSERIAL, serial);
  } catch (error) {
    try {
      // The path may be a link of /dev/serial/by-id.
      writeFileSync(`/sys/class/tty/${basename(realpathSync(path))}/device/latency_timer`, '1');
    } catch {
      log.warn({ path }, `low_latency is not to be had on ${path}: ${messageOf(error)}`);
    }
  }
}

/** The byte with which the kernel (PARMRK) begins a mark: \377 \0 X for a byte X with an error, \377 \377 for \377. */
const MARK = 0xff;

/** Takes the kernel's marks out of what a line gave, wherever it is split. */
export class ErrorMarks {
  readonly #data: (bytes: Buffer) => void;
  readonly #damaged: (byte: Buffer) => void;
  /** How much of a mark has been seen: none, \377, \377 \0. */
  #state: 0 | 1 | 2 = 0;

  constructor(data: (bytes: Buffer) => void, damaged: (byte: Buffer) => void) {
    this.#data = data;
    this.#damaged = damaged;
  }

  push(bytes: Buffer): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#state !== 0) {
        from = this.#inMark(bytes, from);
        continue;
      }
      const mark = bytes.indexOf(MARK, from);
      if (mark < 0) break;
      if (mark > from) this.#data(bytes.subarray(from, mark));
      this.#state = 1;
      from = mark + 1;
    }
    if (from < bytes.length) this.#data(bytes.subarray(from));
  }

  #inMark(bytes: Buffer, at: number): number {
    const byte = bytes.subarray(at, at + 1);
    if (this.#state === 2) {
      this.#state = 0;
      this.#damaged(byte);
      return at + 1;
    }
    this.#state = byte[0] === 0 ? 2 : 0;
    // A doubled \377 is one; anything else after it cannot be, and is passed on as it came.
    if (byte[0] === MARK) this.#data(byte);
    else if (byte[0] !== 0) this.#data(Buffer.from([MARK, byte[0] ?? 0]));
    return at + 1;
  }
}
