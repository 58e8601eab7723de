import { readSync, writeSync } from 'node:fs';
import type { Clock, DurationMs } from '../../../src/clock/clock.ts';
import { sleep, withDeadline } from '../../../src/clock/clock.ts';
import type { DriverContext } from '../../../src/driver/contract.ts';
import type { LineSettings } from '../../../src/driver/parse.ts';
import { DcsError, messageOf, systemCode } from '../../../src/errors/errors.ts';
import { ErrorMarks } from './error-marks.ts';
import { openError } from './open-error.ts';
import { drive, loadIoctl, lowLatency, markErrors, sense } from './termios.ts';
import type { ModemControl, Transport, TransportEvents } from './transport.ts';

/** Read at one go. A tty gives at most 4 KiB; frames are views into this, so it is left behind rather than reused. */
const POOL = 65_536;
const LEAST_ROOM = 4096;
/** A full output buffer is tried again after this long (ms): at 115200 baud 58 of its 4096 bytes have gone by then. */
const RETRY_MS = 5;
/** A close may wait for the kernel; the port's owner does not wait longer than this (ms). */
const CLOSE_LIMIT_MS = 400;

/** How a line is to be opened. */
export interface TtySettings {
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
    this.#await();
  }

  /** Rejects with NO_PERMISSION, BUSY, PORT_DOWN (not there; it may be plugged in) or NOT_SUPPORTED (no serial port). */
  static async open(settings: TtySettings, context: DriverContext, events: TransportEvents): Promise<TtyOpened> {
    const loaded = await load();
    if (typeof loaded === 'string') return { kind: 'skipped', reason: loaded };
    const { path, flow, hupcl } = settings;
    const { baud, dataBits, parity, stopBits } = settings.line;
    const shape = { path, baudRate: baud, dataBits, parity, stopBits, lock: true, hupcl };
    const control = { rtscts: flow === 'rtscts', xon: flow === 'xonxoff', xoff: flow === 'xonxoff' };
    const opened = await loaded.open({ ...shape, ...control }).catch((error: unknown) => {
      throw openError(path, error);
    });
    if (!('poller' in opened) || opened.fd === null) {
      await opened.close();
      return { kind: 'skipped', reason: `serial ports are not supported on ${process.platform}` };
    }
    const extras = await refine(opened.fd, settings, context);
    return { kind: 'transport', transport: new Tty(opened, opened.fd, path, context.clock, events, extras) };
  }

  async send(bytes: Uint8Array, limit: DurationMs): Promise<void> {
    const end = this.#clock.now() + limit;
    for (let at = 0; ; ) {
      if (this.#ended) throw this.#ended;
      at += this.#write(bytes, at);
      if (at >= bytes.length) return;
      if (this.#clock.now() >= end) {
        await this.#line.flush().catch((error: unknown) => this.#lose(messageOf(error)));
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

  #await(): void {
    this.#line.poller.once('readable', (error) => {
      if (this.#ended) return;
      if (error) this.#lose(error.message);
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
        this.#lose('hung up');
        return;
      }
      const bytes = this.#pool.subarray(this.#used, this.#used + count);
      this.#used += count;
      if (this.#marks) this.#marks.push(bytes);
      else this.#events.data(bytes);
    } catch (error) {
      if (!waits(error)) this.#lose(messageOf(error));
    }
    if (!this.#ended) this.#await();
  }

  /** Writes what fits now; gives the number of bytes. */
  #write(bytes: Uint8Array, from: number): number {
    try {
      return writeSync(this.#fd, bytes, from);
    } catch (error) {
      if (waits(error)) return 0;
      throw this.#lose(messageOf(error));
    }
  }

  #lose(why: string): DcsError {
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

async function refine(fd: number, settings: TtySettings, { log }: DriverContext): Promise<Extras> {
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

function waits(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'EAGAIN' || code === 'EINTR';
}

/** serialport's binding, or why there is none. */
async function load() {
  try {
    const { SerialPort } = await import('serialport');
    return SerialPort.binding;
  } catch (error) {
    return `the npm package serialport cannot be loaded: ${messageOf(error)}`;
  }
}
