import type { Clock } from '../clock/clock.ts';
import { ManualClock } from '../clock/manual-clock.ts';
import type { ConfigObject } from '../config/load.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { Log } from '../log/log.ts';
import { checkedConfig, createAgent, type RunningAgent } from '../start-agent.ts';
import { MockHardware } from './mock-hardware.ts';

/** While a manual clock drives a stop, it moves by this much at a time (ms). */
const STOP_STEP_MS = 50;

/** An agent under test. */
export interface TestAgent<AgentClock extends Clock = ManualClock> extends RunningAgent {
  /** The simulated hardware behind its pins. */
  readonly hardware: MockHardware;
  /** Its clock: time passes only in `await clock.advance(ms)`, which also lets everything settle. */
  readonly clock: AgentClock;
}

/** Options of `startAgent`. */
export interface TestAgentOptions {
  /** pino's loggers satisfy it. By default nothing is logged. */
  readonly log?: Log;
}

/**
 * Runs an agent on simulated hardware, for a test. `config` is the name of a configuration file, or what stands in one as an
 * object. Nothing leaves the process: no hardware, bus, web page, server, state folder or guardian. Its clock is a ManualClock
 * unless `clock` is another one. Rejects with BAD_CONFIG, which names every mistake with its place.
 */
export function startAgent(config: string | ConfigObject, options?: TestAgentOptions): Promise<TestAgent>;
/** Runs an agent for a test as above, on another clock than a ManualClock. */
export function startAgent<AgentClock extends Clock>(
  config: string | ConfigObject,
  options: TestAgentOptions & { readonly clock: AgentClock },
): Promise<TestAgent<AgentClock>>;
export async function startAgent(
  config: string | ConfigObject,
  { clock = new ManualClock(), ...options }: TestAgentOptions & { readonly clock?: Clock } = {},
): Promise<TestAgent<Clock>> {
  const checked = await checkedConfig(config, { mock: true });
  const hardware = new MockHardware(checked);
  const agent = await createAgent(isolated(checked, hardware), { ...options, clock, mock: true });
  const stop = () => timed(clock, agent.stop());
  try {
    await agent.start();
  } catch (error) {
    await stop();
    throw error;
  }
  if (clock instanceof ManualClock) await clock.advance(0);
  const { bus, pins } = agent;
  return {
    ...{ bus, pins, hardware, clock, stop },
    get stats() {
      return agent.stats;
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** The configuration without anything that reaches beyond the process. */
function isolated(config: ResolvedConfig, hardware: MockHardware): ResolvedConfig {
  const { web: _web, servers: _servers, state: _state, guardianMs: _guardian, ...rest } = config;
  return { ...rest, bus: { ...rest.bus, enabled: false }, ports: rest.ports.map((port) => hardware.simulate(port)) };
}

/** Moves a manual clock until the work is done: deadlines of a hook that hangs must end. */
async function timed(clock: Clock, work: Promise<void>): Promise<void> {
  let done = false;
  const finished = work.finally(() => {
    done = true;
  });
  while (clock instanceof ManualClock && !done) await clock.advance(STOP_STEP_MS);
  await finished;
}
