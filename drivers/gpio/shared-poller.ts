import type { Libc } from './libc.ts';
import { EdgePoller } from './poller.ts';

/** A hold on a polling thread. Idempotent release. */
export interface PollerLease {
  readonly poller: EdgePoller;
  release(): void;
}

export type LeasePoller = (libc: Libc) => Promise<PollerLease>;

let current: Promise<EdgePoller> | undefined;
let users = 0;

/**
 * The polling thread all chips of this process share. It is started for the first and then kept: starting one takes
 * longer than everything else about opening a chip. Unused, it does nothing and does not keep the process alive.
 */
export const leasePoller: LeasePoller = async (libc) => {
  current ??= EdgePoller.start(libc);
  const mine = current;
  let poller: EdgePoller;
  try {
    poller = await mine;
  } catch (error) {
    if (current === mine) current = undefined;
    throw error;
  }
  if (!poller.alive) {
    if (current === mine) {
      current = undefined;
      users = 0;
    }
    return leasePoller(libc);
  }
  users++;
  poller.keepsProcess(true);
  let released = false;
  return {
    poller,
    release() {
      if (released || !poller.alive) return;
      released = true;
      users--;
      if (users === 0) poller.keepsProcess(false);
    },
  };
};
