import { Option } from 'commander';
import type { Logger } from 'pino';
import { type Clock, systemClock } from '../../clock/clock.ts';
import { DcsError, messageOf } from '../../errors/errors.ts';
import { isJournalStream, journalPrefix } from '../../guardian/nonblocking-log.ts';
import type { CliCommand } from '../command-tree.ts';
import { exitCodeOf, exitCodes } from '../exit.ts';
import { configOption, mockOption } from '../options.ts';
import { version } from '../version.ts';

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
type LogLevel = (typeof logLevels)[number];

interface RunOptions {
  readonly config?: string;
  readonly mock?: boolean;
  readonly logLevel: LogLevel;
}

/** A stop that takes longer ends the process: systemd would only kill it later. */
const STOP_LIMIT_MS = 1900;

export function addRun(cli: CliCommand): void {
  cli
    .command('run')
    .description('run the agent until SIGTERM or Ctrl-C')
    .addOption(configOption())
    .addOption(mockOption())
    .addOption(
      new Option('--log-level <level>', 'least severe level that is logged').choices(logLevels).default('info'),
    )
    .examples('dcs-io run', 'dcs-io run --mock -c plant.yaml')
    .action(run);
}

async function run(options: RunOptions): Promise<void> {
  const { createAgent } = await import('../../start-agent.ts');
  const { printProblems, readConfig } = await import('../config-file.ts');
  const mock = options.mock === true;
  const config = await readConfig(options.config, { mock });
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

/** A log on stderr: readable on a terminal, JSON lines in a pipe, with priorities where systemd's journal reads it. */
async function createLog(level: LogLevel): Promise<Logger> {
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

/** More uncaught errors than this within WINDOW_MS end the process: its state can no longer be trusted. */
const LIMIT = 10;
const WINDOW_MS = 60_000;

/**
 * Handles uncaught exceptions and unhandled rejections, like those of a timer in a user's actor. One of them is logged and the
 * agent goes on, because it must not switch the relays off. Too many of them stop the agent in good order.
 */
class UncaughtErrors {
  readonly #clock: Clock;
  readonly #log: { error(detail: object, message: string): void };
  #recent: number[] = [];
  #giveUp: (error: Error) => void = () => {};
  readonly #listener = (error: unknown) => this.take(error);

  constructor(log: { error(detail: object, message: string): void }, clock: Clock = systemClock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Installs the handlers. Resolves with the last error when there were too many, else never. */
  watch(): Promise<Error> {
    process.on('uncaughtException', this.#listener);
    process.on('unhandledRejection', this.#listener);
    return new Promise((resolve) => {
      this.#giveUp = resolve;
    });
  }

  take(error: unknown): void {
    this.#log.error({ err: error }, `uncaught error: ${messageOf(error)}`);
    const now = this.#clock.now();
    this.#recent = [...this.#recent.filter((at) => now - at < WINDOW_MS), now];
    if (this.#recent.length < LIMIT) return;
    this.#giveUp(new Error(`${LIMIT} uncaught errors within ${WINDOW_MS / 1000} s: ${messageOf(error)}`));
  }
}
