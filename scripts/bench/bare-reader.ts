import { closeSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as uapi from '../../drivers/gpio/uapi.ts';
import { loadLibc } from '../../src/linux/libc.ts';

/** The part of npm epoll that is needed; it has no types. */
interface Epoll {
  add(fd: number, events: number): void;
  remove(fd: number): void;
  close(): void;
}
type EpollClass = (new (
  handler: (error: Error | null, fd: number, events: number) => void,
) => Epoll) & {
  readonly EPOLLIN: number;
};

/** The least a program can do to read edges of one line: ioctl through koffi, npm epoll, fs.readSync. */
export async function bareReader(device: string, offset: number, edge: (ns: bigint) => void): Promise<() => void> {
  const { Epoll }: { Epoll: EpollClass } = createRequire(import.meta.url)('epoll');
  const libc = await loadLibc('this bench');
  const chip = openSync(device, 'r+');
  const flags = uapi.flags.input | uapi.flags.risingEdge | uapi.flags.fallingEdge | uapi.flags.realtimeClock;
  const request = uapi.lineRequest([offset], 'bare', { flags });
  libc.ioctl(chip, uapi.GET_LINE, request);
  const fd = uapi.requestedFd(request);
  const buffer = Buffer.alloc(uapi.EVENT_BYTES * 64);
  const poller = new Epoll(() => {
    const bytes = readSync(fd, buffer);
    for (let at = 0; at < bytes; at += uapi.EVENT_BYTES) edge(buffer.readBigUInt64LE(at));
  });
  poller.add(fd, Epoll.EPOLLIN);
  return () => {
    poller.remove(fd);
    poller.close();
    closeSync(fd);
    closeSync(chip);
  };
}
