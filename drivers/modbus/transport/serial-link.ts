import { readSync, realpathSync, writeFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { type Clock, sleep, withDeadline } from '../../../src/clock/clock.ts';
import type { LineSettings } from '../../../src/driver/parse.ts';
import { DcsError, messageOf, systemCode } from '../../../src/errors/errors.ts';
import type { Link, LinkEvents } from './link.ts';
import { type Direction, useKernelRs485 } from './rs485.ts';
import { serialError } from './serial-error.ts';

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

export interface SerialSettings {
  readonly path: string;
  /** The line settings of a unit. */
  line(unit: number): LineSettings;
  /** The settings to open with. */
  readonly first: LineSettings;
  /** Who turns the transceiver round. */
  readonly direction: Direction;
  warn(message: string): void;
}

/**
 * Opens a serial line; `undefined` with the reason when this machine has no serial ports. serialport opens, locks and
 * configures it and watches the descriptor. Reading and writing are done on the descriptor itself: serialport's stream
 * may read a hung-up line for ever, and sends what was written to a closed port after the next open.
 */
export async function openSerial(
  settings: SerialSettings,
  clock: Clock,
  events: LinkEvents,
): Promise<SerialLink | string> {
  const bare = await loadBinding();
  if (typeof bare === 'string') return bare;
  const open: OpenLine = async (path, wanted) => {
    const line = await bare(path, wanted);
    if (settings.direction !== 'kernel' || line.fd === null) return line;
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
  readonly #settings: SerialSettings;
  readonly #clock: Clock;
  readonly #events: LinkEvents;
  readonly #buffer = Buffer.allocUnsafe(READ_SIZE);
  #line: Line | undefined;
  #present: LineSettings;
  #ended = false;
  /** Told once, not at every change of parity. */
  #warned = false;

  constructor(open: OpenLine, line: Line, settings: SerialSettings, clock: Clock, events: LinkEvents) {
    this.#open = open;
    this.#settings = settings;
    this.#present = settings.first;
    this.#clock = clock;
    this.#events = events;
    this.#take(line);
  }

  send(bytes: Buffer): void {
    void this.#write(bytes);
  }

  ready(unit: number): boolean {
    return same(this.#settings.line(unit), this.#present);
  }

  /** Other units of the bus may have other settings. Baud rates change in place; parity takes a close and an open. */
  async prepare(unit: number): Promise<void> {
    const wanted = this.#settings.line(unit);
    if (this.#ended || same(wanted, this.#present)) return;
    try {
      const line = this.#line;
      if (line && same({ ...wanted, baud: this.#present.baud }, this.#present)) {
        await line.update({ baudRate: wanted.baud });
      } else {
        this.#line = undefined;
        await line?.close();
        this.#take(await this.#open(this.#settings.path, wanted));
      }
      this.#present = wanted;
    } catch (error) {
      this.#lose(messageOf(error));
      throw this.#gone(messageOf(error));
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

  #take(line: Line): void {
    this.#line = line;
    // A wish: drivers without it refuse, and the line works all the same, its replies up to 16 ms later.
    line.set({ ...LOW_LATENCY, rts: this.#settings.direction === 'off' }).catch((error: unknown) => {
      if (this.#warned || shortenLatency(this.#settings.path)) return;
      this.#warned = true;
      this.#settings.warn(`${this.#settings.path} has no low latency mode (${messageOf(error)}): replies come later`);
    });
    this.#await(line);
  }

  #await(line: Line): void {
    line.poller.once('readable', (error) => {
      if (this.#ended || this.#line !== line) return;
      if (error) this.#lose(error.message);
      else this.#read(line);
    });
  }

  catchUp(): void {
    if (!this.#ended && this.#line) this.#receive(this.#line);
  }

  #read(line: Line): void {
    this.#receive(line);
    if (!this.#ended && this.#line === line) this.#await(line);
  }

  #receive(line: Line): void {
    try {
      const count = line.fd === null ? 0 : readSync(line.fd, this.#buffer, 0, READ_SIZE, null);
      if (count === 0) this.#lose('hung up');
      else this.#events.data(Buffer.from(this.#buffer.subarray(0, count)));
    } catch (error) {
      if (!waits(error)) this.#lose(messageOf(error));
    }
  }

  /** Where this process turns the transceiver round it does so late: a reply within that time is lost. */
  async #write(bytes: Buffer): Promise<void> {
    const line = this.#settings.direction === 'rts' ? this.#line : undefined;
    try {
      await line?.set({ ...LOW_LATENCY, rts: true });
      await this.#hand(bytes);
      await line?.drain();
      await line?.set({ ...LOW_LATENCY, rts: false });
    } catch (error) {
      if (line === this.#line) this.#lose(messageOf(error));
    }
  }

  async #hand(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#ended; ) {
      const fd = this.#line?.fd;
      if (fd === null || fd === undefined) return;
      try {
        at += writeSync(fd, bytes, at);
      } catch (error) {
        if (!waits(error)) return this.#lose(messageOf(error));
        await sleep(this.#clock, RETRY_MS);
      }
    }
  }

  #lose(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const line = this.#line;
    this.#line = undefined;
    // The line is lost already; a close that fails has nothing to add to the reason told below.
    line?.close().catch(() => undefined);
    this.#events.down(this.#gone(why));
  }

  #isEnded(): boolean {
    return this.#ended;
  }

  #gone(why: string): DcsError {
    return new DcsError('PORT_DOWN', `${this.#settings.path} is gone (${why})`, { expected: 'a plugged-in adapter' });
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

function same(a: LineSettings, b: LineSettings): boolean {
  return a.baud === b.baud && a.dataBits === b.dataBits && a.parity === b.parity && a.stopBits === b.stopBits;
}

function waits(error: unknown): boolean {
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
