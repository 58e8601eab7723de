import { DcsError, messageOf } from '../../errors/errors.ts';
import { createAgent } from '../../start-agent.ts';
import { printProblems, readConfig } from '../config-file.ts';
import { exitCodeOf, exitCodes } from '../exit.ts';
import { createLog, type LogLevel } from '../log.ts';
import { UncaughtErrors } from '../uncaught-errors.ts';
import { version } from '../version.ts';

export interface RunOptions {
  readonly config?: string;
  readonly mock?: boolean;
  readonly logLevel: LogLevel;
}

/** A stop that hangs past this ends the process all the same: systemd would only kill it later. */
const STOP_LIMIT_MS = 1900;

/** Runs the agent until SIGTERM or SIGINT. */
export async function run(options: RunOptions): Promise<void> {
  const config = await readConfig(options.config, options.mock === true);
  const log = await createLog(options.logLevel);
  printProblems(config.warnings, (problem, text) => log.warn({ ...problem }, text));
  const agent = await createAgent(config, { log, version: version() });
  const end = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
  const strays = new UncaughtErrors(log).watch();
  const alive = setInterval(() => {}, 1 << 30);
  // An agent that cannot start still stops what it has opened.
  const failed = agent.start().then(
    () => new Promise<never>(() => {}),
    (error: unknown) => error,
  );
  const cause = await Promise.race([end, strays, failed]);
  if (typeof cause === 'string') log.info({ signal: cause }, `stopping on ${cause}`);
  else {
    // What we refuse ourselves needs no stack to be understood.
    const detail = cause instanceof DcsError ? { code: cause.code, expected: cause.expected } : { err: cause };
    log.fatal(detail, `stopping: ${messageOf(cause)}`);
    process.exitCode = exitCodeOf(cause);
  }
  const limit = setTimeout(() => {
    log.fatal({}, `the stop did not end within ${STOP_LIMIT_MS} ms`);
    process.exit(exitCodes.failed);
  }, STOP_LIMIT_MS);
  await agent.stop();
  clearTimeout(limit);
  clearInterval(alive);
  // A timer or a socket that a user's actor left behind would keep the process for ever.
  process.exit();
}
