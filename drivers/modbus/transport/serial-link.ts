import { readSync, writeSync } from 'node:fs';
import { type Clock, sleep } from '../../../src/clock/clock.ts';
import type { Link, LinkEvents } from '../../../src/driver/kit/link.ts';
import type { LineSettings } from '../../../src/driver/kit/schemas.ts';
import {
  closeSerialLine,
  openSerialLine,
  type SerialLine,
  shortenUsbLatency,
  wouldBlock,
} from '../../../src/driver/kit/serial-line.ts';
import { DcsError, messageOf } from '../../../src/errors/errors.ts';
import { loadLibc } from '../../../src/linux/libc.ts';

const RETRY_MS = 2;
const READ_SIZE = 4096;

/** serialport raises DTR and RTS whenever it sets anything else. */
const LOW_LATENCY = { lowLatency: true, dtr: true, rts: true };

/** The parts of a serial line that a link uses. */
export type LinkLine = Omit<SerialLine, 'flush'>;

type OpenLine = (line: LineSettings) => Promise<LinkLine | string>;

/** Switching of an RS-485 transceiver: by itself (`off`), by the kernel's driver, or by this process with RTS. */
export type Rs485Mode = 'off' | 'kernel' | 'rts';

export interface SerialLinkOptions {
  readonly path: string;
  /** The line settings of a unit. */
  line(unit: number): LineSettings;
  /** The settings to open with. */
  readonly first: LineSettings;
  readonly rs485: Rs485Mode;
  warn(message: string): void;
}

/** Opens a serial line. Resolves with the reason as text when this machine has no serial ports. */
export async function openSerial(
  options: SerialLinkOptions,
  clock: Clock,
  events: LinkEvents,
): Promise<SerialLink | string> {
  const { path, rs485 } = options;
  const open: OpenLine = async (wanted) => {
    const line = await openSerialLine({ path, line: wanted });
    if (typeof line === 'string' || rs485 !== 'kernel' || line.fd === null) return line;
    try {
      await useKernelRs485(line.fd, path);
    } catch (error) {
      await line.close();
      throw error;
    }
    return line;
  };
  const line = await open(options.first);
  return typeof line === 'string' ? line : new SerialLink(open, line, options, clock, events);
}

/** A link over a serial line. */
export class SerialLink implements Link {
  readonly #open: OpenLine;
  readonly #options: SerialLinkOptions;
  readonly #clock: Clock;
  readonly #events: LinkEvents;
  readonly #buffer = Buffer.allocUnsafe(READ_SIZE);
  #line: LinkLine | undefined;
  #current: LineSettings;
  #ended = false;
  /** The missing low latency mode is logged once, not at every change of parity. */
  #warned = false;

  constructor(open: OpenLine, line: LinkLine, options: SerialLinkOptions, clock: Clock, events: LinkEvents) {
    this.#open = open;
    this.#options = options;
    this.#current = options.first;
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

  /** Changes the settings to those of the unit. The baud rate changes in place; parity takes a close and an open. */
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
        const opened = await this.#open(wanted);
        if (typeof opened === 'string') throw new DcsError('NOT_SUPPORTED', opened);
        this.#useLine(opened);
      }
      this.#current = wanted;
    } catch (error) {
      this.#fail(messageOf(error));
      throw this.#goneError(messageOf(error));
    }
    if (this.#isEnded()) await this.close();
  }

  catchUp(): void {
    if (!this.#ended && this.#line) this.#receive(this.#line);
  }

  async close(): Promise<void> {
    this.#ended = true;
    const line = this.#line;
    this.#line = undefined;
    if (line) await closeSerialLine(line, this.#clock);
  }

  #useLine(line: LinkLine): void {
    this.#line = line;
    // Serial drivers without this mode refuse it. The line works all the same, with replies up to 16 ms later.
    line.set({ ...LOW_LATENCY, rts: this.#options.rs485 === 'off' }).catch((error: unknown) => {
      if (this.#warned || shortenUsbLatency(this.#options.path)) return;
      this.#warned = true;
      this.#options.warn(`${this.#options.path} has no low latency mode (${messageOf(error)}): replies come later`);
    });
    this.#watchReadable(line);
  }

  #watchReadable(line: LinkLine): void {
    line.poller.once('readable', (error) => {
      if (this.#ended || this.#line !== line) return;
      if (error) this.#fail(error.message);
      else this.#receive(line);
      if (!this.#ended && this.#line === line) this.#watchReadable(line);
    });
  }

  #receive(line: LinkLine): void {
    try {
      const count = line.fd === null ? 0 : readSync(line.fd, this.#buffer, 0, READ_SIZE, null);
      if (count === 0) this.#fail('hung up');
      else this.#events.data(Buffer.from(this.#buffer.subarray(0, count)));
    } catch (error) {
      if (!wouldBlock(error)) this.#fail(messageOf(error));
    }
  }

  /** With `rs485: rts` this process switches the transceiver late; a reply within that time is lost. */
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
    // The line is lost already, so an error of the close adds nothing to the reason reported below.
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

function sameSettings(a: LineSettings, b: LineSettings): boolean {
  return a.baud === b.baud && a.dataBits === b.dataBits && a.parity === b.parity && a.stopBits === b.stopBits;
}

/** asm-generic/ioctls.h; other only on MIPS, SPARC, Alpha and PowerPC. */
const TIOCSRS485 = 0x542f;
/** struct serial_rs485 (linux/serial.h): flags, two delays in ms, padding: 32 bytes. */
const RS485_BYTES = 32;
const RS485_ENABLED = 1 << 0;
const RS485_RTS_ON_SEND = 1 << 1;

/** The structure that TIOCSRS485 takes. */
export function rs485Settings(): Buffer {
  const settings = Buffer.alloc(RS485_BYTES);
  settings.writeUInt32LE(RS485_ENABLED | RS485_RTS_ON_SEND, 0);
  return settings;
}

/** Makes the kernel switch the transceiver. Throws NOT_SUPPORTED where the line's driver cannot. */
async function useKernelRs485(fd: number, path: string): Promise<void> {
  const expected = 'rs485: off for adapters that turn round by themselves, or rs485: rts';
  const { ioctl } = await loadLibc('rs485: kernel', expected);
  try {
    ioctl(fd, TIOCSRS485, rs485Settings());
  } catch (cause) {
    throw new DcsError('NOT_SUPPORTED', `${path} has no RS-485 mode in the kernel (${messageOf(cause)})`, {
      expected,
      cause,
    });
  }
}
