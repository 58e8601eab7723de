import { closeSync, rmSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { DcsError } from '../errors/errors.ts';

/**
 * Hands open descriptors to another process (SCM_RIGHTS, unix(7)): what they hold stays held until the last process has
 * closed its own. Nothing here waits. Everything throws a DcsError.
 */
export interface FdPassing {
  /** Two connected ends, for a process and its child. */
  pair(): { readonly own: number; readonly other: number };
  /** Sends duplicates through one end of a pair. */
  send(end: number, descriptors: readonly number[]): void;
  /** The `count` descriptors that were sent or posted together: they have to be there already. The caller owns them. */
  receive(end: number, count: number): number[];
  /** A place that others can post to, by its path. `receive` takes from it. */
  openReceiver(path: string): { readonly end: number; close(): void };
  sendTo(path: string, descriptors: readonly number[]): void;
}

// The same on x86, ARM and RISC-V; others have no koffi.
const AF_UNIX = 1;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** sun_path of sockaddr_un. */
const PATH_BYTES = 108;
/** SCM_MAX_FD: most descriptors of one message. */
export const MAX_DESCRIPTORS = 253;

/** struct msghdr as a JavaScript object; koffi lays it out for this machine's word size. */
interface Message {
  readonly name: Uint8Array | null;
  readonly nameBytes: number;
  readonly vectors: readonly { readonly base: Uint8Array; readonly bytes: number }[];
  readonly vectorCount: number;
  readonly control: Uint8Array;
  readonly controlBytes: number;
  readonly flags: number;
}

/** Binds the C library: Node passes no descriptors on. Rejects with NOT_SUPPORTED where koffi has no build (ARMv6). */
export async function loadFdPassing(): Promise<FdPassing> {
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw new DcsError('NOT_SUPPORTED', 'descriptors cannot be passed on: the npm package koffi does not load here', {
      cause,
    });
  });
  const library = koffi.load(null);
  const vector = koffi.struct({ base: 'void *', bytes: 'size_t' });
  const message = koffi.struct({
    name: 'void *',
    nameBytes: 'uint32_t',
    vectors: koffi.pointer(vector),
    vectorCount: 'size_t',
    control: 'void *',
    controlBytes: 'size_t',
    flags: 'int',
  });
  const socket: (domain: number, type: number, protocol: number) => number = library.func('socket', 'int', [
    'int',
    'int',
    'int',
  ]);
  const socketpair: (domain: number, type: number, protocol: number, ends: Uint8Array) => number = library.func(
    'int socketpair(int domain, int type, int protocol, void *ends)',
  );
  const bind: (fd: number, address: Uint8Array, bytes: number) => number = library.func(
    'int bind(int fd, const void *address, uint32_t bytes)',
  );
  type Transfer = (fd: number, message: Message, flags: number) => number;
  const pointer = koffi.pointer(message);
  const sendmsg: Transfer = library.func('sendmsg', 'intptr_t', ['int', pointer, 'int']);
  const recvmsg: Transfer = library.func('recvmsg', 'intptr_t', ['int', pointer, 'int']);
  const word = koffi.sizeof('size_t');

  const checked = (call: string, result: number): number => {
    if (result >= 0) return result;
    const code = getSystemErrorName(-koffi.errno());
    throw new DcsError('PORT_DOWN', `${call}: ${code}`, { found: code });
  };
  const made = (control: Uint8Array, name: Uint8Array | null = null): Message => ({
    name,
    nameBytes: name?.length ?? 0,
    // A message without a byte would be no message.
    vectors: [{ base: Buffer.alloc(1), bytes: 1 }],
    vectorCount: 1,
    control,
    controlBytes: control.length,
    flags: 0,
  });
  const send = (end: number, descriptors: readonly number[], name?: Uint8Array) => {
    const sent = sendmsg(end, made(encodeRights(descriptors, word), name), MSG_DONTWAIT | MSG_NOSIGNAL);
    checked('sendmsg', sent);
  };
  return {
    pair() {
      const ends = Buffer.alloc(8);
      checked('socketpair', socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
      return { own: ends.readInt32LE(0), other: ends.readInt32LE(4) };
    },
    send: (end, descriptors) => send(end, descriptors),
    receive(end, count) {
      const control = Buffer.alloc(controlBytes(count, word));
      checked('recvmsg', recvmsg(end, made(control), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
      const got = decodeRights(control, word);
      if (got.length === count) return got;
      for (const fd of got) closeSync(fd);
      throw new DcsError('BAD_REPLY', 'other descriptors came than were told', {
        found: got.length,
        expected: String(count),
      });
    },
    openReceiver(path) {
      const end = checked('socket', socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      const close = () => {
        closeSync(end);
        rmSync(path, { force: true });
      };
      try {
        const address = unixAddress(path);
        rmSync(path, { force: true });
        checked('bind', bind(end, address, address.length));
      } catch (error) {
        closeSync(end);
        throw error;
      }
      return { end, close };
    },
    sendTo(path, descriptors) {
      const address = unixAddress(path);
      const end = checked('socket', socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      try {
        send(end, descriptors, address);
      } finally {
        closeSync(end);
      }
    },
  };
}

/** One cmsghdr: its length (a word), level and type (32 bit each), then the descriptors; padded to whole words. */
export function encodeRights(descriptors: readonly number[], word: number): Buffer {
  if (descriptors.length > MAX_DESCRIPTORS) {
    throw new DcsError('NOT_SUPPORTED', 'too many descriptors for one message', {
      found: descriptors.length,
      expected: `at most ${MAX_DESCRIPTORS}`,
    });
  }
  const buffer = Buffer.alloc(controlBytes(descriptors.length, word));
  // Below 2³², and the upper half of a 64-bit word is 0; little-endian.
  buffer.writeUInt32LE(word + 8 + descriptors.length * 4, 0);
  buffer.writeInt32LE(SOL_SOCKET, word);
  buffer.writeInt32LE(SCM_RIGHTS, word + 4);
  descriptors.forEach((fd, at) => {
    buffer.writeInt32LE(fd, word + 8 + at * 4);
  });
  return buffer;
}

function controlBytes(descriptors: number, word: number): number {
  return Math.ceil((word + 8 + descriptors * 4) / word) * word;
}

/** The descriptors of what `rights` makes; none when something else, or nothing, came. */
export function decodeRights(control: Buffer, word: number): number[] {
  const end = control.readUInt32LE(0);
  if (control.readInt32LE(word) !== SOL_SOCKET || control.readInt32LE(word + 4) !== SCM_RIGHTS) return [];
  const found: number[] = [];
  for (let at = word + 8; at + 4 <= end; at += 4) found.push(control.readInt32LE(at));
  return found;
}

function unixAddress(path: string): Buffer {
  const name = Buffer.from(path);
  if (name.length >= PATH_BYTES) throw new DcsError('NOT_SUPPORTED', `${path} is too long for a socket`);
  // sun_family, sun_path, NUL.
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return address;
}
