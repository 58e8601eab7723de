import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { loadLibc, unixAddress } from '../../src/linux/libc.ts';

const open: number[] = [];
const folders: string[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) closeSync(fd);
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const libc = await loadLibc('this test');
/** asm-generic/ioctls.h: bytes that are there to be read. */
const FIONREAD = 0x541b;

function pipe(): { reader: number; writer: number } {
  const ends = libc.pipe();
  open.push(ends.reader, ends.writer);
  return ends;
}

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'libc-'));
  folders.push(made);
  return made;
}

describe('libc', () => {
  it('ioctl passes its argument by address, in this thread and in another', async () => {
    const { reader, writer } = pipe();
    writeSync(writer, 'hello');
    const count = Buffer.alloc(4);
    libc.ioctl(reader, FIONREAD, count);
    expect(count.readInt32LE()).toBe(5);
    const later = Buffer.alloc(4);
    await libc.ioctlAsync(reader, FIONREAD, later);
    expect(later.readInt32LE()).toBe(5);
  });

  it('a call that fails names itself and the error, as those of Node.js do', async () => {
    expect(() => libc.ioctl(-1, FIONREAD, Buffer.alloc(4))).toThrow(/^ioctl: EBADF$/);
    expect(() => libc.ioctlValue(-1, FIONREAD, 0)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    await expect(libc.ioctlAsync(-1, FIONREAD, Buffer.alloc(4))).rejects.toMatchObject({ code: 'EBADF' });
    expect(() => libc.bind(-1, unixAddress('/nowhere'))).toThrow(/bind: EBADF/);
  });

  it('the reading end of a pipe does not block', () => {
    const { reader } = pipe();
    expect(() => readSync(reader, Buffer.alloc(1))).toThrow(/EAGAIN/);
  });

  it('replace makes a descriptor a second name of another', () => {
    const { writer, reader } = pipe();
    const other = openSync('/dev/null', 'w');
    open.push(other);
    libc.replace(writer, other);
    writeSync(other, 'x');
    const got = Buffer.alloc(1);
    readSync(reader, got);
    expect(got.toString()).toBe('x');
  });

  it('datagrams reach the socket that is bound to a path, or to an abstract name', () => {
    for (const path of [join(folder(), 'socket'), `@dcs-io-test-${process.pid}`]) {
      const [receiver, sender] = [libc.unixSocket(), libc.unixSocket()];
      open.push(receiver, sender);
      libc.bind(receiver, unixAddress(path));
      libc.sendTo(sender, Buffer.from('STATUS=fine'), unixAddress(path));
      const got = Buffer.alloc(64);
      expect(got.toString('utf8', 0, readSync(receiver, got))).toBe('STATUS=fine');
    }
  });

  it('a message carries a descriptor to the other end of a pair (SCM_RIGHTS)', () => {
    const [one, two] = libc.socketPair();
    const { reader, writer } = pipe();
    open.push(one, two);
    const { wordBytes } = libc;
    // struct cmsghdr: length (a word), level and type, then the descriptor; padded to whole words.
    const control = Buffer.alloc(Math.ceil((wordBytes + 12) / wordBytes) * wordBytes);
    control.writeUInt32LE(wordBytes + 12, 0);
    control.writeInt32LE(1, wordBytes);
    control.writeInt32LE(1, wordBytes + 4);
    control.writeInt32LE(writer, wordBytes + 8);
    libc.sendMessage(one, { control });
    const received = Buffer.alloc(control.length);
    libc.receiveMessage(two, received);
    const duplicate = received.readInt32LE(wordBytes + 8);
    open.push(duplicate);
    expect(duplicate).not.toBe(writer);
    writeSync(duplicate, 'y');
    const got = Buffer.alloc(1);
    readSync(reader, got);
    expect(got.toString()).toBe('y');
    expect(() => libc.receiveMessage(two, received)).toThrow(/recvmsg: EAGAIN/);
  });

  it('a path that does not fit a socket address is refused with its length', () => {
    expect(() => unixAddress(`/${'x'.repeat(107)}`)).toThrow(expect.objectContaining({ code: 'BAD_VALUE' }));
    expect(unixAddress(`/${'x'.repeat(106)}`)).toHaveLength(2 + 108);
  });
});
