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
  /** Waits up to `timeoutMs` for descriptors; `fds` holds `count` pollfd structures. Blocks this thread. */
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  /** Reads what there is; 0 when there is nothing yet. */
  read(fd: number, into: Uint8Array): number;
  write(fd: number, bytes: Uint8Array): void;
  /** A pipe whose reading end does not block. */
  pipe(): { readonly reader: number; readonly writer: number };
  /** A descriptor one thread can wake another with: readable once 8 bytes have been written. */
  eventfd(): number;
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
  const poll: (fds: Uint8Array, count: number, timeout: number) => number = library.func(
    'int poll(void *fds, unsigned long count, int timeout)',
  );
  // Node's own readSync and writeSync cost several times as much as the system call; on the way of every edge that counts.
  const read: (fd: number, into: Uint8Array, bytes: number) => number = library.func(
    'long read(int fd, void *into, unsigned long bytes)',
  );
  const write: (fd: number, bytes: Uint8Array, count: number) => number = library.func(
    'long write(int fd, const void *bytes, unsigned long count)',
  );
  const pipe: (fds: Uint8Array, flags: number) => number = library.func('int pipe2(void *fds, int flags)');
  const eventfd: (initial: number, flags: number) => number = library.func(
    'int eventfd(unsigned int initial, int flags)',
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
    poll(fds, count, timeoutMs) {
      const ready = poll(fds, count, timeoutMs);
      if (ready >= 0) return ready;
      const error = new SystemCallError('poll', koffi.errno());
      if (error.code === EINTR) return 0;
      throw error;
    },
    read(fd, into) {
      for (;;) {
        const bytes = read(fd, into, into.length);
        if (bytes >= 0) return bytes;
        const error = new SystemCallError('read', koffi.errno());
        if (error.code === 'EAGAIN') return 0;
        if (error.code !== EINTR) throw error;
      }
    },
    write(fd, bytes) {
      checked('write', write(fd, bytes, bytes.length));
    },
    pipe() {
      const fds = Buffer.alloc(8);
      checked('pipe2', pipe(fds, O_NONBLOCK | O_CLOEXEC));
      return { reader: fds.readInt32LE(0), writer: fds.readInt32LE(4) };
    },
    eventfd: () => checked('eventfd', eventfd(0, O_NONBLOCK | O_CLOEXEC)),
    setNonBlocking(fd) {
      const flags = checked('fcntl', fcntl(fd, F_GETFL, 0));
      checked('fcntl', fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    },
  };
}
