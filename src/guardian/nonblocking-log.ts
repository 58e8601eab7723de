import { fstatSync, write } from 'node:fs';
import type { Log } from '../log/log.ts';

/** Whether a descriptor leads to systemd's journal: JOURNAL_STREAM names it by device and inode. */
export function isJournalStream(fd: number, env: NodeJS.ProcessEnv = process.env): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (!stream) return false;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
}

/** The journal's priority prefix (sd-daemon(3)) for a JSON line of the log, from its level. */
export function journalPrefix(line: string): string {
  const level = Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? 30);
  return level >= 60 ? '<2>' : level >= 50 ? '<3>' : level >= 40 ? '<4>' : level >= 30 ? '<6>' : '<7>';
}

/** Most lines that wait to be written; more are counted and dropped. */
const QUEUE_LIMIT = 100;
const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const;

/**
 * A log of JSON lines on stderr, like the agent's, that never blocks this process: the reader of the pipe may have ended with
 * the agent, and a write to a full pipe would block.
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
    const suppressed = left > 0 ? { suppressed: left } : {};
    left = 0;
    const line = JSON.stringify({ level: LEVELS[level], time: now(), from: 'guardian', ...detail, ...suppressed, msg });
    waiting.push(`${journal ? journalPrefix(line) : ''}${line}\n`);
    next();
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
