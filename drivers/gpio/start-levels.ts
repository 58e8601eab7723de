import type { ChardevChip } from './chardev-chip.ts';
import type { RequestPlan } from './line-plan.ts';
import type { LineLibc } from './uapi.ts';
import * as uapi from './uapi.ts';

// Bit n is the n-th line of the request.

/** The levels outputs are to start with. */
export function startLevels({ lines }: RequestPlan): bigint {
  return lines.reduce(
    (bits, { wish }, at) => (wish.channel.openingValue === true ? bits | (1n << BigInt(at)) : bits),
    0n,
  );
}

/** The levels lines go on with that have been held all along: those to start with, or what they show. Throws a SystemCallError. */
export function levelsToGoOn(libc: LineLibc, chip: ChardevChip, fd: number, plan: RequestPlan): bigint {
  const kept = plan.lines.reduce(
    (bits, { wish }, at) => (wish.channel.openingValue === undefined ? bits | (1n << BigInt(at)) : bits),
    0n,
  );
  return startLevels(plan) | (kept === 0n ? 0n : shownLevels(libc, chip, fd, plan) & kept);
}

/** The levels held lines show, to be driven from now on. Throws a SystemCallError. */
export function shownLevels(libc: LineLibc, chip: ChardevChip, fd: number, { lines }: RequestPlan): bigint {
  const values = uapi.lineValues(0n, uapi.allLines(lines.length));
  libc.ioctl(fd, uapi.GET_VALUES, values);
  let levels = values.readBigUInt64LE(0);
  lines.forEach(({ offset, wish }, at) => {
    const { drive } = wish.channel.address;
    if (drive === undefined || drive === 'push-pull') return;
    if (chip.line(offset).flags & uapi.flags.output) return;
    // Not driven so far: it stays so, whatever others do to the wire. Open-drain lets go with high, open-source with low.
    const bit = 1n << BigInt(at);
    levels = drive === 'open-drain' ? levels | bit : levels & ~bit;
  });
  return levels;
}
