import { write } from 'node:fs';
import type { Log } from '../driver/driver.ts';
import { journalPrefix, journalReads } from './journal.ts';

/** Most lines that wait for whoever reads the log; more are counted and left out. */
const WAITING_LIMIT = 100;
const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const;

/**
 * JSON lines on stderr, as the agent's own, that never keep this process waiting: with the agent its reader may be gone too,
 * and a full pipe would stop whoever writes to it.
 */
export function sideLog(now: () => number = Date.now, fd = 2): Log {
  const waiting: string[] = [];
  const journal = journalReads(fd);
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
    if (waiting.length >= WAITING_LIMIT) {
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
