import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostileTraffic } from './hostile-traffic.ts';
import { run } from './machine.ts';
import { now, pause, within } from './process.ts';
import { WITHIN_MS } from './site.ts';
import type { World } from './world.ts';

/** A fault, its end, and the reaction that must follow. Times in ms. */
export interface Fault<Place> {
  readonly name: string;
  /** Injects the fault; resolves when it is over, such as a cut cable plugged in again. */
  inject(world: Place): Promise<void>;
  /** The time of the first reaction of the agent, its guardian or a subscriber; `undefined` when there is none to expect. */
  readonly noticed?: (world: Place, since: number) => number | undefined;
  /** Commanded outputs must be safe this long after the fault began; `undefined` when it does not concern them. */
  readonly safeMs?: number;
  /** The fault harms only itself: every command to other hardware is carried out. */
  readonly harmless?: true;
  /** How often it comes in one round of all faults; 1 when `undefined`. */
  readonly share?: number;
  /** The fault needs a world with keys. */
  readonly secured?: true;
}

/** On a busy machine the end of a lease or of a guardian's timeout takes effect this much later. */
const SLACK_MS = 2500;
const HOLD_MS = 1000;

const CANNOT_WRITE = /audit log cannot be written|not kept/;

function fill(disk: string): void {
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(Math.max(0, bavail * bsize)));
}

/** Frees the disk, and waits until the agent has written its waiting lines. */
async function free(world: World): Promise<void> {
  const begun = now();
  rmSync(join(world.disk, 'ballast'), { force: true });
  await within(10_000, () => world.said(/audit log is written again/, begun));
}

const said = (pattern: RegExp) => (world: World, since: number) => world.said(pattern, since);
const doubted = (pin: string) => (world: World, since: number) => world.record.notGoodSince(pin, since);
const gone = said(/the agent is gone/);
const hung = said(/the agent hangs/);

export const faults: readonly Fault<World>[] = [
  { name: 'SIGKILL', inject: async ({ agent }) => agent?.signal('SIGKILL'), noticed: gone, safeMs: SLACK_MS },
  {
    name: 'SIGSTOP',
    inject: async ({ agent }) => agent?.signal('SIGSTOP'),
    noticed: hung,
    safeMs: WITHIN_MS + SLACK_MS,
  },
  {
    name: '100 % CPU for 5 s',
    inject: async ({ controller }) => controller?.tell('{"Burn":{"ms":5000}}'),
    noticed: hung,
    safeMs: WITHIN_MS + SLACK_MS,
  },
  {
    name: 'memory pressure',
    inject: async ({ controller }) => controller?.tell('{"Hog":{}}'),
    noticed: (world, since) => hung(world, since) ?? gone(world, since),
    safeMs: WITHIN_MS + SLACK_MS + 3000,
  },
  {
    name: 'network cut',
    async inject(world) {
      world.network('down');
      await pause(1600);
      world.network('up');
    },
    noticed: (world, since) => world.record.safeAt(since),
    safeMs: HOLD_MS + SLACK_MS,
  },
  {
    name: 'slow peer',
    async inject(world) {
      const peer = world.program(['watch', '--all', '--bus', '127.0.0.1:5012:5013']);
      await pause(700);
      peer.signal('SIGSTOP');
      await pause(1500);
      peer.signal('SIGCONT');
      await peer.end('SIGKILL', 2000);
    },
    harmless: true,
  },
  {
    name: 'full disk',
    async inject(world) {
      const begun = now();
      fill(world.disk);
      // The last page of an existing file may still have room.
      await within(8000, () => world.said(CANNOT_WRITE, begun));
      await pause(1000);
      await free(world);
    },
    noticed: said(CANNOT_WRITE),
    harmless: true,
  },
  {
    name: 'read-only disk',
    async inject(world) {
      // The kernel makes no disk read-only while a file is open for writing; the agent closes a file that it cannot write.
      const { disk } = world;
      const begun = now();
      fill(disk);
      await within(8000, () => world.said(CANNOT_WRITE, begun));
      run('mount', '-o', 'remount,ro', disk);
      await pause(1500);
      run('mount', '-o', 'remount,rw', disk);
      await free(world);
    },
    noticed: said(CANNOT_WRITE),
    harmless: true,
  },
  ...[3600, -3600].map(
    (jump): Fault<World> => ({
      name: `clock jumps ${jump > 0 ? '+' : '-'}1 h`,
      async inject({ folder }) {
        writeFileSync(join(folder, 'clock'), `${jump > 0 ? '+' : ''}${jump}`);
        await pause(1000);
        writeFileSync(join(folder, 'clock'), '+0');
      },
      harmless: true,
    }),
  ),
  {
    name: 'unplug',
    async inject(world) {
      world.unplug();
      await pause(1000);
      await world.plug();
    },
    noticed: doubted('weight'),
    harmless: true,
  },
  {
    name: 'dead bus',
    async inject({ simulator }) {
      simulator?.signal('SIGSTOP');
      await pause(1500);
      simulator?.signal('SIGCONT');
    },
    noticed: doubted('temp'),
    harmless: true,
  },
  {
    name: 'throwing handler',
    async inject({ controller }) {
      for (let count = 0; count < 6; count++) controller?.tell('{"Throw":{}}');
      await pause(500);
    },
    noticed: said(/thrown on purpose/),
    harmless: true,
  },
  {
    name: 'hostile traffic',
    inject: hostileTraffic,
    noticed: said(/a message was refused/),
    harmless: true,
    secured: true,
  },
];
