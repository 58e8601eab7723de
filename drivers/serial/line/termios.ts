import { realpathSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { getSystemErrorName } from 'node:util';
import type { Log } from '../../../src/driver/contract.ts';
import { DcsError, messageOf } from '../../../src/errors/errors.ts';
import type { DrivenLine, SensedLine } from './transport.ts';

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
