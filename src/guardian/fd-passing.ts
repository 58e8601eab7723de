import { closeSync, rmSync } from 'node:fs';
import { DcsError } from '../errors/errors.ts';
import { type Libc, loadLibc, unixAddress } from '../linux/libc.ts';

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** SCM_MAX_FD: most descriptors of one message. */
export const MAX_DESCRIPTORS = 253;

/** Binds the C library. Rejects with NOT_SUPPORTED where koffi has no build (ARMv6). */
export async function loadFdPassing(): Promise<FdPassing> {
  return new FdPassing(await loadLibc('passing descriptors to another process'));
}

/**
 * Hands open descriptors to another process (SCM_RIGHTS, unix(7)): hardware stays held until the last process has closed its
 * own. No method waits. All throw a SystemCallError or a DcsError.
 */
export class FdPassing {
  readonly #libc: Libc;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** Two connected ends, for a process and its child. */
  pair(): { readonly own: number; readonly other: number } {
    const [own, other] = this.#libc.socketPair();
    return { own, other };
  }

  /** Sends duplicates through one end of a pair. */
  send(end: number, descriptors: readonly number[]): void {
    this.#libc.sendMessage(end, { control: encodeRights(descriptors, this.#libc.wordBytes) });
  }

  /** Takes the `count` descriptors of one message, which must have arrived. The caller owns them. */
  receive(end: number, count: number): number[] {
    const { wordBytes } = this.#libc;
    const control = Buffer.alloc(controlBytes(count, wordBytes));
    this.#libc.receiveMessage(end, control);
    const received = decodeRights(control, wordBytes);
    if (received.length === count) return received;
    for (const fd of received) closeSync(fd);
    throw new DcsError('BAD_REPLY', 'other descriptors arrived than were announced', {
      found: received.length,
      expected: String(count),
    });
  }

  /** A socket that others can send to by its path. `receive` takes from it. */
  openReceiver(path: string): { readonly end: number; close(): void } {
    const address = unixAddress(path);
    const end = this.#libc.unixSocket();
    try {
      rmSync(path, { force: true });
      this.#libc.bind(end, address);
    } catch (error) {
      closeSync(end);
      throw error;
    }
    const close = () => {
      closeSync(end);
      rmSync(path, { force: true });
    };
    return { end, close };
  }

  /** Sends duplicates to the receiver at a path. */
  sendTo(path: string, descriptors: readonly number[]): void {
    const address = unixAddress(path);
    const end = this.#libc.unixSocket();
    try {
      this.#libc.sendMessage(end, { control: encodeRights(descriptors, this.#libc.wordBytes), address });
    } finally {
      closeSync(end);
    }
  }
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
  // Below 2³², so the upper half of a 64-bit word is 0; little-endian.
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

/** The descriptors that `encodeRights` put there; none when something else, or nothing, arrived. */
export function decodeRights(control: Buffer, word: number): number[] {
  const end = control.readUInt32LE(0);
  if (control.readInt32LE(word) !== SOL_SOCKET || control.readInt32LE(word + 4) !== SCM_RIGHTS) return [];
  const found: number[] = [];
  for (let at = word + 8; at + 4 <= end; at += 4) found.push(control.readInt32LE(at));
  return found;
}
