/**
 * The one thread that waits for GPIO edges: it blocks in poll(2), moves events from the kernel into the ring, and wakes
 * the main thread. It is the entry of a worker, so it works when it is loaded. It never returns to its event loop.
 */
import { closeSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { EventRing } from './event-ring.ts';
import { type Libc, loadLibc } from './libc.ts';
import type { FromPoller, PollerStart, ToPoller } from './poll-messages.ts';

const POLLIN = 1;
const POLLERR = 8;
const POLLHUP = 16;
const POLLNVAL = 32;
/** pollfd: int fd, short events, short revents. */
const POLLFD_BYTES = 8;
/** Wakes even if nothing happens, so that a process that ends without a word to this thread is not held up for long. */
const LONGEST_WAIT_MS = 500;
const ONE = new Uint8Array([1]);

interface Watched {
  readonly token: number;
  readonly fd: number;
  /** It hung up: waits to be closed. */
  dead: boolean;
}

function run({ memory, wakeFd, notifyFd }: PollerStart, libc: Libc, port: typeof parentPort): void {
  if (!port) return;
  const ring = new EventRing(memory);
  const wakeBytes = new Uint8Array(8);
  const watched: Watched[] = [];
  const tell = (message: FromPoller) => port.postMessage(message);
  let live: Watched[] = [];
  let fds = pollfds(wakeFd, live);
  let starved = false;

  /** Carries out what the main thread asked for. False: it asked for the end. */
  const obey = (): boolean => {
    libc.read(wakeFd, wakeBytes);
    for (let got = receiveMessageOnPort(port); got; got = receiveMessageOnPort(port)) {
      const message: ToPoller = got.message;
      if (message.kind === 'end') return false;
      if (message.kind === 'watch') watched.push({ token: message.token, fd: message.fd, dead: false });
      else {
        const at = watched.findIndex(({ token }) => token === message.token);
        const [gone] = at < 0 ? [] : watched.splice(at, 1);
        if (gone) closeSync(gone.fd);
        tell({ closed: message.token });
      }
    }
    live = watched.filter(({ dead }) => !dead);
    fds = pollfds(wakeFd, live);
    return true;
  };

  const collect = (): void => {
    let hungUp = false;
    for (let at = 0; at < live.length; at++) {
      const entry = live[at];
      const revents = fds.readInt16LE((at + 1) * POLLFD_BYTES + 6);
      if (!entry || revents === 0) continue;
      if (revents & POLLIN) {
        const space = ring.space();
        if (space.length === 0) {
          ring.starve();
          // Looked at once more after saying so: the reader may have made space just before.
          starved = ring.space().length === 0;
          return;
        }
        const got = readEvents(libc, entry.fd, space);
        if (got > 0 && ring.wrote(got, entry.token)) libc.write(notifyFd, ONE);
        if (got >= 0) continue;
      }
      if (revents & (POLLIN | POLLERR | POLLHUP | POLLNVAL)) {
        entry.dead = true;
        hungUp = true;
        tell({ hangup: entry.token });
      }
    }
    if (hungUp) {
      live = watched.filter(({ dead }) => !dead);
      fds = pollfds(wakeFd, live);
    }
  };

  tell('ready');
  for (;;) {
    const ready = libc.poll(fds, starved ? 1 : live.length + 1, LONGEST_WAIT_MS);
    if (ready === 0) continue;
    if (fds.readInt16LE(6) !== 0) {
      starved = false;
      if (!obey()) return;
    } else if (!starved) collect();
  }
}

/** The poll list: the wake-up first, then the lines. */
function pollfds(wakeFd: number, live: readonly Watched[]): Buffer {
  const fds = Buffer.alloc((live.length + 1) * POLLFD_BYTES);
  [wakeFd, ...live.map(({ fd }) => fd)].forEach((fd, at) => {
    fds.writeInt32LE(fd, at * POLLFD_BYTES);
    fds.writeInt16LE(POLLIN, at * POLLFD_BYTES + 4);
  });
  return fds;
}

/** Bytes read; -1 when the descriptor is dead. */
function readEvents(libc: Libc, fd: number, space: Uint8Array): number {
  try {
    return libc.read(fd, space);
  } catch {
    // Told to the main thread as a hangup, which finds out why.
    return -1;
  }
}

run(workerData, await loadLibc(), parentPort);
parentPort?.close();
