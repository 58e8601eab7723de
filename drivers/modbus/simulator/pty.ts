import { execFile } from 'node:child_process';
import { closeSync, constants, openSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { promisify } from 'node:util';
import { DcsError, systemCode } from '../../../src/errors/errors.ts';
import { loadLibc } from '../../../src/linux/libc.ts';

/** asm-generic/ioctls.h: number of a pty's slave, and its lock. */
const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;

/** A pseudo-terminal that plays a serial line; the symbolic link `name` leads to it while it is open. */
export class Pty {
  readonly path: string;
  readonly #name: string;
  readonly #master: ReadStream;
  readonly #slave: number;

  private constructor(path: string, name: string, master: ReadStream, slave: number) {
    this.path = path;
    this.#name = name;
    this.#master = master;
    this.#slave = slave;
  }

  /** Rejects with BUSY when the name exists already, NOT_SUPPORTED where the system makes no ptys. */
  static async open(name: string, receive: (bytes: Buffer) => void): Promise<Pty> {
    const { ioctl } = await loadLibc('a pty');
    const fd = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
    const number = Buffer.alloc(4);
    try {
      ioctl(fd, TIOCSPTLCK, Buffer.alloc(4));
      ioctl(fd, TIOCGPTN, number);
    } catch (cause) {
      closeSync(fd);
      throw new DcsError('NOT_SUPPORTED', 'this system makes no ptys', { cause });
    }
    const path = `/dev/pts/${number.readUInt32LE(0)}`;
    // Held open: without it, the first client that leaves would hang up the line for good.
    const slave = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
    try {
      await promisify(execFile)('stty', ['-F', path, 'raw', '-echo']);
      link(path, name);
    } catch (error) {
      closeSync(slave);
      closeSync(fd);
      throw error;
    }
    const master = new ReadStream(fd);
    master.on('data', receive);
    master.on('error', () => undefined);
    return new Pty(path, name, master, slave);
  }

  send(bytes: Buffer): void {
    this.#master.write(bytes);
  }

  close(): void {
    try {
      if (readlinkSync(this.#name) === this.path) unlinkSync(this.#name);
    } catch (error) {
      // Removed already by someone else.
      if (systemCode(error) !== 'ENOENT') throw error;
    }
    closeSync(this.#slave);
    this.#master.destroy();
  }
}

function link(path: string, name: string): void {
  try {
    symlinkSync(path, name);
  } catch (cause) {
    if (systemCode(cause) !== 'EEXIST') throw cause;
    throw new DcsError('BUSY', `${name} exists already`, { expected: 'a name that is free, or its removal', cause });
  }
}
