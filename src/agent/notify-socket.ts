import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { DcsError } from '../errors/errors.ts';

/** Sends datagrams to the service manager. */
export interface NotifySocket {
  /** Throws a DcsError when the datagram cannot be handed over. */
  send(text: string): void;
  close(): void;
}

const AF_UNIX = 1;
/** The same on x86, ARM and RISC-V; others have no koffi. */
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** sun_path of sockaddr_un. */
const PATH_BYTES = 108;

/**
 * The socket of sd_notify(3): `path` is what NOTIFY_SOCKET says, with @ for the abstract namespace. Node has no datagrams on
 * Unix sockets, so the C library is asked. Rejects with NOT_SUPPORTED where koffi does not load, BAD_VALUE for a wrong path.
 */
export async function openNotifySocket(path: string): Promise<NotifySocket> {
  const abstract = path.startsWith('@');
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : path);
  if ((!abstract && !path.startsWith('/')) || name.length >= PATH_BYTES) {
    throw new DcsError('BAD_VALUE', 'NOTIFY_SOCKET names no Unix socket', { found: path });
  }
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw new DcsError(
      'NOT_SUPPORTED',
      'the service manager cannot be told: the npm package koffi does not load here',
      { expected: 'a unit with Type=exec, as dcs-io service install writes here', cause },
    );
  });
  const library = koffi.load(null);
  const socket: (domain: number, type: number, protocol: number) => number = library.func(
    'int socket(int domain, int type, int protocol)',
  );
  const sendto: (
    fd: number,
    bytes: Uint8Array,
    count: number,
    flags: number,
    address: Uint8Array,
    size: number,
  ) => number = library.func(
    'long sendto(int fd, const void *bytes, unsigned long count, int flags, const void *address, unsigned int size)',
  );
  const failure = (call: string) => {
    const code = getSystemErrorName(-koffi.errno());
    return new DcsError('PORT_DOWN', `${call} to ${path}: ${code}`, { found: code });
  };
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw failure('socket');
  // An abstract name is as long as it is said to be; a path may end with its NUL.
  const address = Buffer.alloc(2 + name.length + (abstract ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return {
    send(text) {
      const bytes = Buffer.from(text);
      const sent = sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length);
      if (sent < 0) throw failure('sendto');
    },
    close: () => closeSync(fd),
  };
}
