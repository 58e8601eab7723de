import { type Logger, pino } from 'pino';
import { isJournalStream, journalPrefix } from '../guardian/nonblocking-log.ts';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Logs go to stderr: JSON lines in a pipe, with priorities for systemd's journal, readable on a terminal. */
export async function createLog(level: LogLevel): Promise<Logger> {
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
