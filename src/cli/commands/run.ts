import { Agent } from '../../agent/agent.ts';
import { printProblems, readConfig } from '../config-file.ts';
import { mockTwin } from '../drivers.ts';
import { exitCodes } from '../exit.ts';
import { createLog, type LogLevel } from '../log.ts';

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
  const agent = new Agent(config, { log, mock: mockTwin });
  const end = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
  // What nobody caught is a defect, but outputs must still reach their exit state.
  const died = new Promise<Error>((resolve) => {
    process.once('uncaughtException', resolve);
  });
  const alive = setInterval(() => {}, 1 << 30);
  const started = agent.start();
  const cause = await Promise.race([end, died, started.then(() => Promise.race([end, died]))]);
  if (cause instanceof Error) {
    log.fatal({ err: cause }, `stopping: ${cause.message}`);
    process.exitCode = exitCodes.failed;
  } else log.info({ signal: cause }, `stopping on ${cause}`);
  const limit = setTimeout(() => {
    log.fatal({}, `the stop did not end within ${STOP_LIMIT_MS} ms`);
    process.exit(exitCodes.failed);
  }, STOP_LIMIT_MS);
  await agent.stop();
  clearTimeout(limit);
  clearInterval(alive);
}
