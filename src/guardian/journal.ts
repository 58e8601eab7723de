import { fstatSync } from 'node:fs';

/** Whether systemd's journal reads a descriptor: JOURNAL_STREAM names it by device and inode. */
export function journalReads(fd: number, env: NodeJS.ProcessEnv = process.env): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (!stream) return false;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
}

/** What the journal takes for a line's priority (sd-daemon(3)), from the level in it, a JSON line of the log. */
export function journalPrefix(line: string): string {
  const level = Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? 30);
  return level >= 60 ? '<2>' : level >= 50 ? '<3>' : level >= 40 ? '<4>' : level >= 30 ? '<6>' : '<7>';
}
