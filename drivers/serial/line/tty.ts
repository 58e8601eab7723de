import { readSync, writeSync } from 'node:fs';
import { type Clock, type DurationMs, sleep } from '../../../src/clock/clock.ts';
import type { DriverContext } from '../../../src/driver/contract.ts';
import {
  closeSerialLine,
  openSerialLine,
  type SerialLine,
  type SerialLineOptions,
  shortenUsbLatency,
  wouldBlock,
} from '../../../src/driver/kit/serial-line.ts';
import { DcsError, messageOf, systemCode } from '../../../src/errors/errors.ts';
import { type Libc, loadLibc } from '../../../src/linux/libc.ts';
import type { Log } from '../../../src/log/log.ts';
import {
  cutShort,
  type DrivenLine,
  type ModemControl,
  type SensedLine,
  type Transport,
  type TransportEvents,
} from './transport.ts';

/** Size of the read buffer. A tty gives at most 4 KiB; frames are views into it, so a full buffer is never reused. */
const POOL = 65_536;
const LEAST_ROOM = 4096;
/** A full output buffer is tried again after this time: at 115200 baud 58 of its 4096 bytes have gone by then. */
const RETRY_MS = 5;

export interface TtyOptions extends SerialLineOptions {
  readonly hupcl: boolean;
  readonly lowLatency: boolean;
}

export type TtyOpened =
  | { readonly kind: 'transport'; readonly transport: Tty }
  | { readonly kind: 'skipped'; readonly reason: string };

/** Settings by ioctl, which serialport does not offer. */
interface TtyExtras {
  /** The kernel marks bytes with errors. */
  readonly marked: boolean;
  readonly ioctl?: Ioctl;
}

/** A serial line of the kernel. */
export class Tty implements Transport {
  readonly control?: ModemControl;
  readonly #line: SerialLine;
  readonly #fd: number;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #events: TransportEvents;
  readonly #marks: ErrorMarks | undefined;
  #pool = Buffer.allocUnsafe(POOL);
  #used = 0;
  #ended: DcsError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    line: SerialLine,
    fd: number,
    path: string,
    clock: Clock,
    events: TransportEvents,
    extras: TtyExtras,
  ) {
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
    if (extras.ioctl) this.control = this.#modemControl(extras.ioctl);
    this.#watchReadable();
  }

  /** Rejects as openSerialLine does. */
  static async open(options: TtyOptions, { clock, log }: DriverContext, events: TransportEvents): Promise<TtyOpened> {
    const line = await openSerialLine(options);
    if (typeof line === 'string') return { kind: 'skipped', reason: line };
    const { fd } = line;
    if (fd === null) throw new DcsError('PORT_DOWN', `${options.path} is closed`);
    const extras = await configureTty(fd, options, log);
    return { kind: 'transport', transport: new Tty(line, fd, options.path, clock, events, extras) };
  }

  async send(bytes: Uint8Array, limit: DurationMs): Promise<void> {
    const end = this.#clock.now() + limit;
    for (let at = 0; ; ) {
      const written = this.#ended ?? this.#write(bytes, at);
      if (typeof written !== 'number') throw at === 0 ? written : cutShort(written, at, bytes.length);
      at += written;
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
    this.#closing ??= closeSerialLine(this.#line, this.#clock);
    return this.#closing;
  }

  #modemControl(ioctl: Ioctl): ModemControl {
    const requireOpen = () => {
      if (this.#ended) throw this.#ended;
    };
    return {
      drive: (name, on) => {
        requireOpen();
        drive(ioctl, this.#fd, name, on);
      },
      sense: () => {
        requireOpen();
        return sense(ioctl, this.#fd);
      },
    };
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

  /** Writes what fits now; returns the number of bytes, or the error of a line that is lost. */
  #write(bytes: Uint8Array, from: number): number | DcsError {
    try {
      return writeSync(this.#fd, bytes, from);
    } catch (error) {
      return wouldBlock(error) ? 0 : this.#fail(messageOf(error));
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

type Ioctl = Libc['ioctl'];

/** Sets what serialport cannot set. A line works without it, which is logged. */
async function configureTty(fd: number, { path, hupcl, lowLatency }: TtyOptions, log: Log): Promise<TtyExtras> {
  try {
    const ioctl = serialIoctl(await loadLibc('marking of parity errors'));
    markErrors(ioctl, fd, hupcl);
    if (lowLatency) setLowLatency(ioctl, fd, path, log);
    return { marked: true, ioctl };
  } catch (error) {
    log.warn({ path }, `${path}: bytes with parity errors are left out instead of marked: ${messageOf(error)}`);
    return { marked: false };
  }
}

/** Throws PORT_DOWN when the line is gone, and NOT_SUPPORTED when its driver refuses. */
function serialIoctl({ ioctl }: Libc): Ioctl {
  return (fd, request, argument) => {
    try {
      ioctl(fd, request, argument);
    } catch (cause) {
      const code = systemCode(cause);
      const gone = code === 'EIO' || code === 'ENODEV' || code === 'EBADF';
      throw new DcsError(gone ? 'PORT_DOWN' : 'NOT_SUPPORTED', `this serial line cannot do that (${code})`, { cause });
    }
  };
}

/**
 * Makes the kernel mark bytes with a parity or framing error. serialport makes it drop them, which turns `12.5` with a
 * disturbed 2 into `1.5`. Also clears HUPCL when asked: serialport can only set it.
 */
function markErrors(ioctl: Ioctl, fd: number, hupcl: boolean): void {
  const termios = Buffer.alloc(TERMIOS_SIZE);
  ioctl(fd, TCGETS2, termios);
  termios.writeUInt32LE(((termios.readUInt32LE(IFLAG) & ~IGNPAR) | PARMRK | INPCK) >>> 0, IFLAG);
  const cflag = termios.readUInt32LE(CFLAG);
  termios.writeUInt32LE((hupcl ? cflag | HUPCL : cflag & ~HUPCL) >>> 0, CFLAG);
  ioctl(fd, TCSETS2, termios);
}

function drive(ioctl: Ioctl, fd: number, line: DrivenLine, on: boolean): void {
  if (line === 'break') {
    ioctl(fd, on ? TIOCSBRK : TIOCCBRK, Buffer.alloc(4));
    return;
  }
  const bits = Buffer.alloc(4);
  bits.writeInt32LE(DRIVEN[line]);
  ioctl(fd, on ? TIOCMBIS : TIOCMBIC, bits);
}

function sense(ioctl: Ioctl, fd: number): Record<SensedLine, boolean> {
  const bits = Buffer.alloc(4);
  ioctl(fd, TIOCMGET, bits);
  const on = (line: SensedLine) => (bits.readInt32LE() & SENSED[line]) !== 0;
  return { cts: on('cts'), dsr: on('dsr'), dcd: on('dcd'), ri: on('ri') };
}

/**
 * Asks the kernel's driver to pass bytes on at once; FTDI adapters keep them for up to 16 ms by default. Hardware without
 * this mode works with that delay, which is logged.
 */
function setLowLatency(ioctl: Ioctl, fd: number, path: string, log: Log): void {
  try {
    const serial = Buffer.alloc(SERIAL_SIZE);
    ioctl(fd, TIOCGSERIAL, serial);
    serial.writeInt32LE(serial.readInt32LE(SERIAL_FLAGS) | ASYNC_LOW_LATENCY, SERIAL_FLAGS);
    ioctl(fd, TIOCSSERIAL, serial);
  } catch (error) {
    if (!shortenUsbLatency(path)) log.warn({ path }, `${path} has no low latency mode: ${messageOf(error)}`);
  }
}

/** First byte of a mark of the kernel (PARMRK): \377 \0 X for a byte X with an error, \377 \377 for \377. */
const MARK = 0xff;

/** Removes the kernel's error marks from a byte stream, wherever it is split. */
export class ErrorMarks {
  readonly #data: (bytes: Buffer) => void;
  readonly #damaged: (byte: Buffer) => void;
  /** The part of a mark that has been seen: none, \377, \377 \0. */
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
    // A doubled \377 is one; no mark begins with any other byte after \377, so both are passed on.
    if (byte[0] === MARK) this.#data(byte);
    else if (byte[0] !== 0) this.#data(Buffer.from([MARK, byte[0] ?? 0]));
    return at + 1;
  }
}
