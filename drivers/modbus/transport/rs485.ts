import { getSystemErrorName } from 'node:util';
import { DcsError, messageOf } from '../../../src/errors/errors.ts';

/** asm-generic/ioctls.h; other only on MIPS, SPARC, Alpha and PowerPC. */
const TIOCSRS485 = 0x542f;
/** struct serial_rs485 (linux/serial.h): flags, two delays in ms, padding: 32 bytes. */
const SIZE = 32;
const ENABLED = 1 << 0;
const RTS_ON_SEND = 1 << 1;

/** Who turns an RS-485 transceiver round: nobody (it does so itself), the kernel's driver, or this process with RTS. */
export type Direction = 'off' | 'kernel' | 'rts';

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
