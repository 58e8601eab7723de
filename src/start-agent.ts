import type { Agent } from './agent/agent.ts';
import type { Bus } from './bus/bus.ts';
import type { PinClient } from './bus/pin-client.ts';
import type { Clock } from './clock/clock.ts';
import type { ConfigObject } from './config/load.ts';
import type { Problem, ResolvedConfig } from './config/resolved.ts';
import type { LoadOptions } from './driver-registry.ts';
import { DcsError } from './errors/errors.ts';
import type { Log } from './log/log.ts';

/** An agent that runs inside this program. */
export interface RunningAgent extends AsyncDisposable {
  /** Its messages: join actors of your own. */
  readonly bus: Bus;
  /** Reads and commands its pins. */
  readonly pins: PinClient;
  /** Counters of everything in it. */
  readonly stats: Readonly<Record<string, unknown>>;
  /** Stops everything, outputs in their exit values. Idempotent, takes 2 s at most. */
  stop(): Promise<void>;
}

/** Options of `startAgent`. */
export interface StartAgentOptions {
  /** Simulated hardware in place of every port, as `dcs-io run --mock` has it. */
  readonly mock?: boolean;
  /** pino's loggers satisfy it. By default nothing is logged. */
  readonly log?: Log;
  /** Clock of everything in the agent; the system's by default. */
  readonly clock?: Clock;
  /** Version that the HTTP API shows. */
  readonly version?: string;
}

/**
 * Runs an agent inside this program, with everything `dcs-io run` has but its signal handlers. `config` is the name of a
 * configuration file, or what stands in one as an object. Rejects with BAD_CONFIG, which names every mistake with its place.
 */
export async function startAgent(
  config: string | ConfigObject,
  options: StartAgentOptions = {},
): Promise<RunningAgent> {
  const checked = await checkedConfig(config, { mock: options.mock === true, skipBrokenDrivers: true });
  for (const warning of checked.warnings) options.log?.warn({ ...warning }, problemText(warning));
  const agent = await createAgent(checked, options);
  try {
    await agent.start();
  } catch (error) {
    // Everything opened so far is closed again.
    await agent.stop();
    throw error;
  }
  return agent;
}

/** The agent of a checked configuration, not started yet. */
export async function createAgent(config: ResolvedConfig, options: StartAgentOptions = {}): Promise<Agent> {
  const { Agent } = await import('./agent/agent.ts');
  const { mock = false, log = noLog, ...rest } = options;
  return new Agent(await withSimulatedPorts(config), { ...rest, log, simulated: mock });
}

/** Reads and checks a configuration. Rejects with BAD_CONFIG. */
export async function checkedConfig(config: string | ConfigObject, options: LoadOptions): Promise<ResolvedConfig> {
  const { loadConfiguration } = await import('./driver-registry.ts');
  const loaded = await loadConfiguration(config, options);
  if (loaded.ok) return loaded.config;
  const mistakes = loaded.problems.filter(({ severity }) => severity === 'error').map(problemText);
  throw new DcsError('BAD_CONFIG', mistakes.join('\n'), { expected: 'a configuration without mistakes' });
}

/** Ports marked `mock` open the mock driver in place of their own. */
async function withSimulatedPorts(config: ResolvedConfig): Promise<ResolvedConfig> {
  if (!config.ports.some(({ mock }) => mock)) return config;
  const { createMock, mockOptions } = await import('../drivers/mock/driver.ts');
  const driver = createMock();
  return {
    ...config,
    ports: config.ports.map((port) => (port.mock ? { ...port, driver, options: mockOptions() } : port)),
  };
}

function problemText({ file, line, column, key, message, found, expected }: Problem): string {
  const detail = [found && `found ${found}`, expected && `expected ${expected}`].filter(Boolean).join('; ');
  const place = line === 0 ? '' : `${file}:${line}:${column}: `;
  return `${place}${key && `${key}: `}${message}${detail && ` (${detail})`}`;
}

const noLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
