import { getSystemErrorName } from 'node:util';
import { DcsError } from '../../src/errors/errors.ts';

/** A system call that failed; `code` is what Node's own errors carry (EBUSY, ENODEV). */
export class SystemCallError extends Error {
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = getSystemErrorName(-errno);
    super(`${call}: ${code}`);
    this.code = code;
  }
}

/** The calls of the C library that Node does not offer. Each throws a SystemCallError. */
export interface Libc {
  /** `argument` is passed by address and may be written. */
  ioctl(fd: number, request: number, argument: Uint8Array): void;
  /** A pipe whose reading end does not block. */
  pipe(): { readonly reader: number; readonly writer: number };
  /** `other` is closed and becomes a second name of `fd`, in one step. */
  replace(fd: number, other: number): void;
  /** Reads of the descriptor return at once, with EAGAIN when there is nothing. */
  setNonBlocking(fd: number): void;
}

const F_GETFL = 3;
const F_SETFL = 4;
/** The same on x86, ARM and RISC-V; only MIPS, SPARC and Alpha differ, and koffi is not built for those. */
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const EINTR = 'EINTR';

/** Binds the C library this process already has. Throws NOT_SUPPORTED where koffi has no build (ARMv6). */
export async function loadLibc(): Promise<Libc> {
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw new DcsError('NOT_SUPPORTED', 'backend chardev needs the npm package koffi, which does not load here', {
      expected: 'a 64-bit or ARMv7 Linux, or backend: onoff',
      cause,
    });
  });
  const library = koffi.load(null);
  const ioctl: (fd: number, request: number, argument: Uint8Array) => number = library.func(
    'int ioctl(int fd, unsigned long request, void *argument)',
  );
  const pipe: (fds: Uint8Array, flags: number) => number = library.func('int pipe2(void *fds, int flags)');
  const dup3: (fd: number, other: number, flags: number) => number = library.func(
    'int dup3(int fd, int other, int flags)',
  );
  const fcntl: (fd: number, command: number, argument: number) => number = library.func(
    'int fcntl(int fd, int command, long argument)',
  );
  const checked = (call: string, result: number): number => {
    if (result < 0) throw new SystemCallError(call, koffi.errno());
    return result;
  };
  return {
    ioctl(fd, request, argument) {
      for (;;) {
        if (ioctl(fd, request, argument) >= 0) return;
        const error = new SystemCallError('ioctl', koffi.errno());
        if (error.code !== EINTR) throw error;
      }
    },
    pipe() {
      const fds = Buffer.alloc(8);
      checked('pipe2', pipe(fds, O_NONBLOCK | O_CLOEXEC));
      return { reader: fds.readInt32LE(0), writer: fds.readInt32LE(4) };
    },
    replace(fd, other) {
      checked('dup3', dup3(fd, other, O_CLOEXEC));
    },
    setNonBlocking(fd) {
      const flags = checked('fcntl', fcntl(fd, F_GETFL, 0));
      checked('fcntl', fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    },
  };
}
