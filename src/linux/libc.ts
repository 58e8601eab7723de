import { getSystemErrorName } from 'node:util';
import { DcsError } from '../errors/errors.ts';

/** A system call that failed; `code` has the form of Node's own errors (EBUSY, ENODEV). */
export class SystemCallError extends Error {
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = getSystemErrorName(-errno);
    super(`${call}: ${code}`);
    this.code = code;
  }
}

/** A message of sendmsg(2): one byte of data, and control data (SCM_RIGHTS, cmsg(3)). */
export interface ControlMessage {
  readonly control: Uint8Array;
  /** sockaddr of the receiver; `undefined` on a connected socket. */
  readonly address?: Uint8Array;
}

/** The calls of the C library that Node.js does not offer. Every call throws, or rejects with, a SystemCallError. */
export interface Libc {
  /** Size in bytes of a pointer, of size_t and of the words in control messages. */
  readonly wordBytes: 4 | 8;
  /** `argument` is passed by address; the kernel may write to it. Blocks the event loop for as long as the call takes. */
  ioctl(fd: number, request: number, argument: Uint8Array): void;
  /** `argument` is passed by value. */
  ioctlValue(fd: number, request: number, argument: number): void;
  /** As `ioctl`, in a thread of its own: for requests that wait for a bus. `argument` must stay alive until then. */
  ioctlAsync(fd: number, request: number, argument: Uint8Array): Promise<void>;
  /** The address of a buffer, for structures with pointers. The buffer must stay alive while the kernel uses it. */
  addressOf(buffer: Uint8Array): bigint;
  /** A pipe whose reading end does not block. */
  pipe(): { readonly reader: number; readonly writer: number };
  /** dup3(2): `target` is closed and becomes a second name of `fd`, in one step. */
  replace(fd: number, target: number): void;
  /** O_NONBLOCK: reads return at once, with EAGAIN when there is nothing. */
  setNonBlocking(fd: number): void;
  /** A datagram socket (AF_UNIX), closed on exec. */
  unixSocket(): number;
  /** Two connected sockets (AF_UNIX, SOCK_SEQPACKET), closed on exec. */
  socketPair(): readonly [number, number];
  bind(fd: number, address: Uint8Array): void;
  /** Sends a datagram without waiting. */
  sendTo(fd: number, bytes: Uint8Array, address: Uint8Array): void;
  /** Sends a message with control data without waiting. */
  sendMessage(fd: number, message: ControlMessage): void;
  /** Receives a message with control data into `control` without waiting. Descriptors in it are closed on exec. */
  receiveMessage(fd: number, control: Uint8Array): void;
}

// Values of x86, ARM and RISC-V. MIPS, SPARC and Alpha have others, and no build of koffi.
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** sun_path of sockaddr_un (unix(7)). */
const SUN_PATH_BYTES = 108;

type Koffi = typeof import('koffi')['default'];
type IoctlByAddress = (fd: number, request: number, argument: Uint8Array) => number;
type IoctlByValue = (fd: number, request: number, argument: number) => number;
interface IoctlInThread {
  readonly async: (
    fd: number,
    request: number,
    argument: Uint8Array,
    done: (error: Error | null, result: number) => void,
  ) => void;
}

/** The binding of this process: every port that needs it shares it. */
let bound: Libc | undefined;

/**
 * Binds the C library of this process, once. Rejects with NOT_SUPPORTED where koffi has no build (ARMv6); the error names the
 * `feature` that needs it and what is `expected` instead.
 */
export async function loadLibc(feature: string, expected?: string): Promise<Libc> {
  if (bound) return bound;
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw new DcsError('NOT_SUPPORTED', `${feature} needs the npm package koffi, which does not load here`, {
      ...(expected !== undefined && { expected }),
      cause,
    });
  });
  const library = koffi.load(null);
  const checked = (call: string, result: number): number => {
    if (result < 0) throw new SystemCallError(call, koffi.errno());
    return result;
  };
  // Binding a function takes longer than most calls of it, so each group is bound when it is first used.
  const descriptors = once(() => bindDescriptors(library, checked));
  const sockets = once(() => bindSockets(library, checked));
  const messages = once(() => bindMessages(koffi, library, checked));
  bound = {
    wordBytes: koffi.sizeof('size_t') === 4 ? 4 : 8,
    addressOf: (buffer) => koffi.address(buffer),
    ...bindIoctl(koffi, library, checked),
    pipe: () => descriptors().pipe(),
    replace: (fd, target) => descriptors().replace(fd, target),
    setNonBlocking: (fd) => descriptors().setNonBlocking(fd),
    unixSocket: () => sockets().unixSocket(),
    socketPair: () => sockets().socketPair(),
    bind: (fd, address) => sockets().bind(fd, address),
    sendTo: (fd, bytes, address) => sockets().sendTo(fd, bytes, address),
    sendMessage: (fd, message) => messages().sendMessage(fd, message),
    receiveMessage: (fd, control) => messages().receiveMessage(fd, control),
  };
  return bound;
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** sockaddr_un of a path, or of a name in the abstract namespace (its first character is `@`). Throws BAD_VALUE. */
export function unixAddress(path: string): Buffer {
  const abstract = path.startsWith('@');
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : path);
  if (name.length >= SUN_PATH_BYTES) {
    throw new DcsError('BAD_VALUE', `${path} is too long for a Unix socket`, {
      found: name.length,
      expected: `at most ${SUN_PATH_BYTES - 1} bytes`,
    });
  }
  // An abstract name is as long as its address says; a path ends with a NUL.
  const address = Buffer.alloc(2 + name.length + (abstract ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return address;
}

type Library = ReturnType<Koffi['load']>;
type Checked = (call: string, result: number) => number;

function bindIoctl(
  koffi: Koffi,
  library: Library,
  checked: Checked,
): Pick<Libc, 'ioctl' | 'ioctlValue' | 'ioctlAsync'> {
  const byAddress: IoctlByAddress & IoctlInThread = library.func(
    'int ioctl(int fd, unsigned long request, void *argument)',
  );
  const byValue: IoctlByValue = library.func('int ioctl(int fd, unsigned long request, long argument)');
  return {
    ioctl(fd, request, argument) {
      for (;;) {
        if (byAddress(fd, request, argument) >= 0) return;
        const error = new SystemCallError('ioctl', koffi.errno());
        if (error.code !== 'EINTR') throw error;
      }
    },
    ioctlValue(fd, request, argument) {
      checked('ioctl', byValue(fd, request, argument));
    },
    ioctlAsync: (fd, request, argument) =>
      new Promise((resolve, reject) => {
        byAddress.async(fd, request, argument, (error, result) => {
          if (error) reject(error);
          // In this callback, and nowhere else, koffi returns the errno of the call's own thread.
          else if (result < 0) reject(new SystemCallError('ioctl', koffi.errno()));
          else resolve();
        });
      }),
  };
}

function bindDescriptors(library: Library, checked: Checked): Pick<Libc, 'pipe' | 'replace' | 'setNonBlocking'> {
  const pipe2: (fds: Uint8Array, flags: number) => number = library.func('int pipe2(void *fds, int flags)');
  const dup3: (fd: number, target: number, flags: number) => number = library.func(
    'int dup3(int fd, int target, int flags)',
  );
  const fcntl: (fd: number, command: number, argument: number) => number = library.func(
    'int fcntl(int fd, int command, long argument)',
  );
  return {
    pipe() {
      const fds = Buffer.alloc(8);
      checked('pipe2', pipe2(fds, O_NONBLOCK | O_CLOEXEC));
      return { reader: fds.readInt32LE(0), writer: fds.readInt32LE(4) };
    },
    replace(fd, target) {
      checked('dup3', dup3(fd, target, O_CLOEXEC));
    },
    setNonBlocking(fd) {
      const flags = checked('fcntl', fcntl(fd, F_GETFL, 0));
      checked('fcntl', fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    },
  };
}

function bindSockets(library: Library, checked: Checked): Pick<Libc, 'unixSocket' | 'socketPair' | 'bind' | 'sendTo'> {
  const socket: (domain: number, type: number, protocol: number) => number = library.func(
    'int socket(int domain, int type, int protocol)',
  );
  const socketpair: (domain: number, type: number, protocol: number, ends: Uint8Array) => number = library.func(
    'int socketpair(int domain, int type, int protocol, void *ends)',
  );
  const bind: (fd: number, address: Uint8Array, bytes: number) => number = library.func(
    'int bind(int fd, const void *address, uint32_t bytes)',
  );
  const sendto: (
    fd: number,
    bytes: Uint8Array,
    count: number,
    flags: number,
    address: Uint8Array,
    addressBytes: number,
  ) => number = library.func(
    'intptr_t sendto(int fd, const void *bytes, size_t count, int flags, const void *address, uint32_t addressBytes)',
  );
  return {
    unixSocket: () => checked('socket', socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
    socketPair() {
      const ends = Buffer.alloc(8);
      checked('socketpair', socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
      return [ends.readInt32LE(0), ends.readInt32LE(4)];
    },
    bind(fd, address) {
      checked('bind', bind(fd, address, address.length));
    },
    sendTo(fd, bytes, address) {
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      checked('sendto', sendto(fd, bytes, bytes.length, flags, address, address.length));
    },
  };
}

/** struct msghdr as a JavaScript object; koffi lays it out for this machine's word size. */
interface MessageHeader {
  readonly name: Uint8Array | null;
  readonly nameBytes: number;
  readonly vectors: readonly { readonly base: Uint8Array; readonly bytes: number }[];
  readonly vectorCount: number;
  readonly control: Uint8Array;
  readonly controlBytes: number;
  readonly flags: number;
}

function bindMessages(koffi: Koffi, library: Library, checked: Checked): Pick<Libc, 'sendMessage' | 'receiveMessage'> {
  const header = koffi.pointer(
    koffi.struct({
      name: 'void *',
      nameBytes: 'uint32_t',
      vectors: koffi.pointer(koffi.struct({ base: 'void *', bytes: 'size_t' })),
      vectorCount: 'size_t',
      control: 'void *',
      controlBytes: 'size_t',
      flags: 'int',
    }),
  );
  type Transfer = (fd: number, message: MessageHeader, flags: number) => number;
  const sendmsg: Transfer = library.func('sendmsg', 'intptr_t', ['int', header, 'int']);
  const recvmsg: Transfer = library.func('recvmsg', 'intptr_t', ['int', header, 'int']);
  const headerOf = ({ control, address }: ControlMessage): MessageHeader => ({
    name: address ?? null,
    nameBytes: address?.length ?? 0,
    // Control data travels only with at least one byte of data.
    vectors: [{ base: Buffer.alloc(1), bytes: 1 }],
    vectorCount: 1,
    control,
    controlBytes: control.length,
    flags: 0,
  });
  return {
    sendMessage(fd, message) {
      checked('sendmsg', sendmsg(fd, headerOf(message), MSG_DONTWAIT | MSG_NOSIGNAL));
    },
    receiveMessage(fd, control) {
      checked('recvmsg', recvmsg(fd, headerOf({ control }), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    },
  };
}
