import { type DurationMs, sleep } from '../../src/clock/clock.ts';
import type { ExecutorContext, Prepare, SafeStateExecutor } from '../../src/driver/crash-plan.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { type LineOptions, openTransport } from './line/open.ts';
import type { DrivenLine, Transport } from './line/transport.ts';

const SEND_TIMEOUT_MS: DurationMs = 2000;

/** Messages that make a device safe, and modem lines to drive. */
export interface SerialPlan {
  readonly path: string;
  readonly options: LineOptions;
  readonly messages: readonly Uint8Array[];
  /** Pause between two messages, in which the device may answer; the answer is ignored. */
  readonly pauseMs: DurationMs;
  readonly lines: readonly { readonly line: DrivenLine; readonly on: boolean }[];
}

export const prepare: Prepare = async (plan, context) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'not the crash plan of a serial port', { found: plan });
  // Load the library now, so that it is in memory when it is needed.
  if (!plan.path.includes('://')) await import('serialport');
  return new SerialSafeStateExecutor(plan, context);
};

/** Opens the line anew and sends. Keeps the line open only to hold modem lines in their state. */
class SerialSafeStateExecutor implements SafeStateExecutor {
  readonly holds: boolean;
  readonly #plan: SerialPlan;
  readonly #context: ExecutorContext;
  #sent = 0;
  #transport: Transport | undefined;

  constructor(plan: SerialPlan, context: ExecutorContext) {
    this.#plan = plan;
    this.#context = context;
    this.holds = plan.lines.length > 0;
  }

  async attempt(): Promise<void> {
    await this.release();
    const { path, options, lines, messages, pauseMs } = this.#plan;
    const ignore = () => undefined;
    const life = { ...this.#context, count: ignore, down: ignore };
    const opened = await openTransport(path, options, life, { data: ignore, damaged: ignore, lost: ignore });
    if (opened.kind === 'skipped') throw new DcsError('PORT_SKIPPED', opened.reason);
    this.#transport = opened.transport;
    for (const { line, on } of lines) opened.transport.control?.drive(line, on);
    for (const bytes of messages.slice(this.#sent)) {
      if (this.#sent > 0) await sleep(this.#context.clock, pauseMs);
      await opened.transport.send(bytes, SEND_TIMEOUT_MS);
      this.#sent++;
    }
    if (!this.holds) await this.release();
  }

  async release(): Promise<void> {
    const transport = this.#transport;
    this.#transport = undefined;
    await transport?.close();
  }
}

function isPlan(plan: unknown): plan is SerialPlan {
  return isRecord(plan) && typeof plan['path'] === 'string' && Array.isArray(plan['messages']);
}
