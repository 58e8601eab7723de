import type { Logger } from 'pino';
import { isJournalStream, journalPrefix } from '../guardian/nonblocking-log.ts';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** A log on stderr: readable on a terminal, JSON lines in a pipe, with priorities where systemd's journal reads it. */
export async function createLog(level: LogLevel): Promise<Logger> {
  const { pino } = await import('pino');
  if (!process.stderr.isTTY) {
    const lines = pino.destination({ dest: 2, sync: true });
    const journal = { write: (line: string) => lines.write(journalPrefix(line) + line) };
    return pino({ level, base: null }, isJournalStream(2) ? journal : lines);
  }
  const { default: pretty } = await import('pino-pretty');
  return pino(
    { level, base: null },
    pretty({ colorize: true, translateTime: 'SYS:HH:MM:ss.l', sync: true, destination: 2, singleLine: true }),
  );
}
