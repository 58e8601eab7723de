import { fstatSync, write } from 'node:fs';
import type { Log } from '../log/log.ts';

/** Whether systemd's journal reads a descriptor: JOURNAL_STREAM names it by device and inode. */
export function isJournalStream(fd: number, env: NodeJS.ProcessEnv = process.env): boolean {
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

/** Most lines that wait for whoever reads the log; more are counted and left out. */
const QUEUE_LIMIT = 100;
const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const;

/**
 * JSON lines on stderr, as the agent's own, that never keep this process waiting: with the agent its reader may be gone too,
 * and a full pipe would stop whoever writes to it.
 */
export function nonblockingLog(now: () => number = Date.now, fd = 2): Log {
  const waiting: string[] = [];
  const journal = isJournalStream(fd);
  let left = 0;
  let writing = false;
  const next = () => {
    if (writing) return;
    const line = waiting.shift();
    if (line === undefined) return;
    writing = true;
    write(fd, line, (error) => {
      writing = false;
      if (error) left++;
      next();
    });
  };
  const at = (level: keyof typeof LEVELS) => (detail: object, msg: string) => {
    if (level === 'debug') return;
    if (waiting.length >= QUEUE_LIMIT) {
      left++;
      return;
    }
    const untold = left > 0 ? { untold: left } : {};
    left = 0;
    const line = JSON.stringify({ level: LEVELS[level], time: now(), from: 'guardian', ...detail, ...untold, msg });
    waiting.push(`${journal ? journalPrefix(line) : ''}${line}\n`);
    next();
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
