import type { Fault } from './faults.ts';
import { now, pause, within } from './process.ts';
import { KERNEL_EDGES, RIG_WITHIN_MS, type RigWorld } from './rig-world.ts';

/** An emulated machine needs longer for everything. */
const SLACK_MS = 6000;
const BURN_MS = 5000;
const HOG_LIMIT_MS = 60_000;

const said = (pattern: RegExp) => (world: RigWorld, since: number) => world.said(pattern, since);
const gone = said(/the agent is gone/);

export const rigFaults: readonly Fault<RigWorld>[] = [
  {
    name: 'rig: SIGKILL',
    share: 1,
    inject: async (world) => void (await world.order('signal', 'KILL')),
    noticed: gone,
    safeMs: SLACK_MS,
  },
  {
    name: 'rig: SIGSTOP',
    share: 1,
    inject: async (world) => void (await world.order('signal', 'STOP')),
    noticed: said(/the agent hangs/),
    safeMs: RIG_WITHIN_MS + SLACK_MS,
  },
  {
    name: 'rig: stopped for 2 s, more edges than the kernel keeps',
    share: 7,
    async inject(world) {
      await world.order('pause', 2);
      await world.order('burst', 2 * KERNEL_EDGES);
      await pause(2000);
    },
  },
  {
    name: 'rig: 100 % CPU for 5 s',
    share: 3,
    async inject({ controller }) {
      controller?.tell(`{"Burn":{"ms":${BURN_MS}}}`);
      await pause(BURN_MS);
    },
  },
  {
    name: 'rig: memory pressure',
    share: 1,
    async inject(world) {
      const begun = now();
      await world.order('hog');
      await within(HOG_LIMIT_MS, () => world.said(/^the hog ended/, begun));
    },
  },
  {
    name: 'rig: unplug',
    // Only once, because Linux 6.1 hangs when a simulated chip comes and goes often while its lines are held.
    share: 1,
    async inject(world) {
      await world.order('unplug');
      await pause(1500);
      await world.order('plug');
    },
    noticed: (world, since) => world.record.notGoodSince('water', since) ?? world.said(/PORT_DOWN/, since),
  },
  {
    name: 'rig: throwing handler',
    share: 6,
    async inject({ controller }) {
      for (let count = 0; count < 6; count++) controller?.tell('{"Throw":{}}');
      await pause(500);
    },
    noticed: said(/thrown on purpose/),
    harmless: true,
  },
  ...[3600, -3600].map(
    (jump): Fault<RigWorld> => ({
      name: `rig: clock jumps ${jump > 0 ? '+' : '-'}1 h`,
      share: 5,
      inject: async (world) => void (await world.order('clock', jump)),
      harmless: true,
    }),
  ),
];
