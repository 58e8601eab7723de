import { type Command, Option } from 'commander';
import { DcsError, messageOf } from '../../errors/errors.ts';
import { addExamples } from '../command-tree.ts';
import { exitCodeOf, exitCodes } from '../exit.ts';
import { type LogLevel, logLevels } from '../log.ts';
import { configOption, mockOption } from '../options.ts';
import { UncaughtErrors } from '../uncaught-errors.ts';
import { version } from '../version.ts';

interface RunOptions {
  readonly config?: string;
  readonly mock?: boolean;
  readonly logLevel: LogLevel;
}

/** A stop that takes longer ends the process: systemd would only kill it later. */
const STOP_LIMIT_MS = 1900;

/** Adds `run`. */
export function addRun(cli: Command): void {
  const command = cli
    .command('run')
    .description('run the agent until SIGTERM or Ctrl-C')
    .addOption(configOption())
    .addOption(mockOption())
    .addOption(
      new Option('--log-level <level>', 'least severe level that is logged').choices(logLevels).default('info'),
    )
    .action(run);
  addExamples(command, 'dcs-io run', 'dcs-io run --mock -c plant.yaml');
}

async function run(options: RunOptions): Promise<void> {
  const [{ createAgent }, { printProblems, readConfig }, { createLog }] = await Promise.all([
    import('../../start-agent.ts'),
    import('../config-file.ts'),
    import('../log.ts'),
  ]);
  const mock = options.mock === true;
  const config = await readConfig(options.config, mock);
  const log = await createLog(options.logLevel);
  printProblems(config.warnings, (problem, text) => log.warn({ ...problem }, text));
  const agent = await createAgent(config, { mock, log, version: version() });
  const end = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
  const uncaught = new UncaughtErrors(log).watch();
  const alive = setInterval(() => {}, 1 << 30);
  // An agent that cannot start still has to stop what it has opened.
  const failed = agent.start().then(
    () => new Promise<never>(() => {}),
    (error: unknown) => error,
  );
  const cause = await Promise.race([end, uncaught, failed]);
  if (typeof cause === 'string') log.info({ signal: cause }, `stopping on ${cause}`);
  else {
    // A DcsError explains itself without a stack.
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
  // A timer or socket left behind by a user's actor would keep the process alive.
  process.exit();
}
