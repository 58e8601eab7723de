import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeRights, encodeRights, loadFdPassing, MAX_DESCRIPTORS } from '../../src/guardian/fd-passing.ts';

let folder = '';
const open: number[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-passing-'));
});
afterEach(() => {
  for (const fd of open.splice(0)) closeSync(fd);
  rmSync(folder, { recursive: true, force: true });
});

/** Files that exist only as long as somebody has them open. */
function held(...texts: string[]): number[] {
  return texts.map((text) => {
    const path = join(folder, 'file');
    writeFileSync(path, text);
    const fd = openSync(path, 'r');
    rmSync(path);
    return fd;
  });
}
function textOf(fd: number): string {
  const buffer = Buffer.alloc(100);
  return buffer.toString('utf8', 0, readSync(fd, buffer, 0, 100, 0));
}
function own<T extends number[]>(descriptors: T): T {
  open.push(...descriptors);
  return descriptors;
}
const closeAll = (descriptors: number[]) => descriptors.map((fd) => closeSync(fd));

describe('passing descriptors to another process', () => {
  it('keeps descriptors open when the sender has closed them and its end, and delivers them in order, lot by lot', async () => {
    const passing = await loadFdPassing();
    const { own: end, other } = passing.pair();
    own([other]);
    const [first, second] = [held('a', 'b', 'c'), held('d')];
    passing.send(end, first);
    passing.send(end, second);
    closeAll([...first, ...second, end]);
    expect(own(passing.receive(other, 3)).map(textOf)).toEqual(['a', 'b', 'c']);
    expect(own(passing.receive(other, 1)).map(textOf)).toEqual(['d']);
  });

  it('fails at once when nothing has arrived or another number than announced, and closes what has arrived', async () => {
    const passing = await loadFdPassing();
    const { own: end, other } = passing.pair();
    own([end, other]);
    expect(() => passing.receive(other, 1)).toThrow('recvmsg: EAGAIN');
    passing.send(end, own(held('a')));
    const before = openSync('/dev/null', 'r');
    closeSync(before);
    expect(() => passing.receive(other, 2)).toThrow('other descriptors arrived than were announced');
    const after = openSync('/dev/null', 'r');
    closeSync(after);
    expect(after).toBe(before);
  });

  it('fails instead of waiting for a receiver that does not read', async () => {
    const passing = await loadFdPassing();
    const { own: end, other } = passing.pair();
    own([end, other]);
    const [fd = 0] = own(held('a'));
    expect(() => {
      for (let n = 0; n < 100_000; n++) passing.send(end, [fd]);
    }).toThrow(/sendmsg: (EAGAIN|ETOOMANYREFS)/);
  });

  it('delivers descriptors at a path; replaces the socket of an ended process, and removes it when it is closed', async () => {
    const passing = await loadFdPassing();
    const path = join(folder, 'box');
    expect(() => passing.sendTo(path, own(held('x')))).toThrow('sendmsg: ENOENT');
    writeFileSync(path, '');
    const box = passing.openReceiver(path);
    const sent = held('a', 'b');
    passing.sendTo(path, sent);
    closeAll(sent);
    expect(own(passing.receive(box.end, 2)).map(textOf)).toEqual(['a', 'b']);
    box.close();
    expect(existsSync(path)).toBe(false);
    expect(() => fstatSync(box.end)).toThrow('EBADF');
    expect(() => passing.openReceiver(join(folder, 'x'.repeat(100)))).toThrow('too long for a Unix socket');
  });

  it('encodes control messages as the kernel does, for words of 64 and of 32 bits', () => {
    // cmsg_len, SOL_SOCKET, SCM_RIGHTS, descriptors, padding to a whole word.
    expect(encodeRights([5], 8).toString('hex')).toBe(
      '1400000000000000' + '01000000' + '01000000' + '05000000' + '00000000',
    );
    expect(encodeRights([5, 258], 4).toString('hex')).toBe(
      '14000000' + '01000000' + '01000000' + '05000000' + '02010000',
    );
    for (const word of [4, 8]) {
      expect(decodeRights(encodeRights([7, 8, 9], word), word)).toEqual([7, 8, 9]);
      expect(decodeRights(Buffer.alloc(64), word)).toEqual([]);
    }
    expect(() => encodeRights(new Array(MAX_DESCRIPTORS + 1).fill(1), 8)).toThrow('too many descriptors');
  });
});
