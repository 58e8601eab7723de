import { sleep } from '../../src/clock/clock.ts';
import type { Channel } from '../../src/driver/contract.ts';
import type { ExecutorContext, Prepare, SafeStateExecutor } from '../../src/driver/crash-plan.ts';
import { DcsError, messageOf, toDcsError } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { ModbusAddress } from './address.ts';
import type { ModbusOptions } from './options.ts';
import { type PointPlace, PolledChannel } from './polled-channel.ts';
import type { Request } from './protocol/request.ts';
import type { Quirks } from './quirks.ts';
import { sendWrite } from './send-write.ts';
import { locatePoint } from './sunspec.ts';
import { ChainWalker } from './sunspec-chain.ts';
import { openTransport } from './transport/open.ts';
import { NotSentError, type Transport } from './transport/transport.ts';
import { prepareWrite } from './write.ts';
import { type FunctionChoice, rotated } from './write-functions.ts';

/** The safe value of one output, and what is known of its device: the functions that it takes, the place of a SunSpec point. */
export interface PlannedWrite {
  readonly channel: Channel<ModbusAddress>;
  readonly value: RawValue;
  readonly found: PointPlace | undefined;
  readonly choice: FunctionChoice;
}

/** Writes that put the outputs of a bus in their safe state, and the options of the bus. */
export interface ModbusPlan {
  readonly options: ModbusOptions;
  readonly quirks: ReadonlyMap<number, Quirks>;
  readonly writes: readonly PlannedWrite[];
}

/** Opens the bus anew (the dead agent's connection is closed), writes, and closes it again. */
export const prepare: Prepare = async (plan, context) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'not the crash plan of a Modbus port', { found: plan });
  // Load the library now, so that it is in memory when it is needed.
  if (plan.options.link.by === 'serial') await import('serialport');
  return new ModbusSafeStateExecutor(plan, context);
};

/** Repetitions of lost reads while a SunSpec point is looked for; the whole attempt is repeated, too. */
const MAX_REPEATS = 2;

class ModbusSafeStateExecutor implements SafeStateExecutor {
  readonly holds = false;
  readonly #plan: ModbusPlan;
  readonly #context: ExecutorContext;
  /** One of each unit with SunSpec points: a base that is silent in one attempt is passed over in the next. */
  readonly #walkers = new Map<number, ChainWalker>();
  #remaining: readonly PlannedWrite[];

  constructor(plan: ModbusPlan, context: ExecutorContext) {
    this.#plan = plan;
    this.#context = context;
    this.#remaining = plan.writes;
  }

  async attempt(): Promise<void> {
    const { options, quirks } = this.#plan;
    const ignore = () => undefined;
    const life = { ...this.#context, count: ignore, down: ignore };
    const transport = await openTransport(options, quirks, life, { count: ignore, down: ignore, unitReleased: ignore });
    if (typeof transport === 'string') throw new DcsError('PORT_SKIPPED', transport);
    try {
      await this.#write(transport);
    } finally {
      await transport.close();
    }
  }

  async release(): Promise<void> {}

  /** Skips the other outputs of a unit that does not answer, because units that do must not wait for it. */
  async #write(transport: Transport): Promise<void> {
    const skipped: PlannedWrite[] = [];
    const failed: PlannedWrite[] = [];
    const silent = new Set<number>();
    let why = '';
    for (const write of this.#remaining) {
      const unit = write.channel.address.unit ?? this.#plan.options.unit;
      if (silent.has(unit)) {
        skipped.push({ ...write, choice: rotated(write.choice, false) });
        continue;
      }
      try {
        await this.#writeOne(transport, unit, write);
      } catch (thrown) {
        const error = toDcsError(thrown);
        if (error.retryable) silent.add(unit);
        // A device may ignore a function that it does not know: the next attempt begins with another one.
        const sent = !(error instanceof NotSentError) && error.code !== 'PORT_DOWN';
        failed.push({ ...write, choice: rotated(write.choice, sent) });
        why = messageOf(thrown);
      }
    }
    // One output that is never answered must not keep the others of its unit from being written.
    this.#remaining = [...skipped, ...failed];
    if (this.#remaining.length === 0) return;
    throw new DcsError(
      'TIMEOUT',
      `${this.#remaining.length} of ${this.#plan.writes.length} outputs could not be written: ${why}`,
    );
  }

  async #writeOne(transport: Transport, unit: number, write: PlannedWrite): Promise<void> {
    const { channel, value, found } = write;
    const polled = new PolledChannel(channel, this.#plan.options);
    const transact = (request: Request) => this.#transact(transport, request);
    const walker = this.#walkers.get(unit) ?? new ChainWalker();
    this.#walkers.set(unit, walker);
    let tries = 0;
    // Each request waits by itself until its unit is free.
    const tryAgain = async () => ++tries <= MAX_REPEATS;
    const reader = { unit, transact, probe: transact, tryAgain, mayAsk: () => true };
    const locate = polled.located ? undefined : () => locatePoint(reader, walker, polled, found);
    await sendWrite(transact, await prepareWrite(transact, polled, value, locate), write);
  }

  async #transact(transport: Transport, request: Request): Promise<Buffer> {
    const { clock } = this.#context;
    const wait = transport.freeAt(request.unit) - clock.now();
    if (wait > 0) await sleep(clock, wait);
    return transport.transact(request);
  }
}

function isPlan(plan: unknown): plan is ModbusPlan {
  return isRecord(plan) && isRecord(plan['options']) && plan['quirks'] instanceof Map && Array.isArray(plan['writes']);
}
