import type {
  Channel,
  CrashPlan,
  Port,
  PortContext,
  Reading,
  ReadingListener,
  SafeWrite,
  WriteOptions,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { type PlanLimits, planBlocks } from '../../src/driver/kit/block-planner.ts';
import { Poller } from '../../src/driver/kit/poller.ts';
import { Scheduler } from '../../src/driver/kit/scheduler.ts';
import type { Task } from '../../src/driver/kit/task-queue.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { ModbusAddress } from './address.ts';
import type { ModbusPlan } from './crash-plan.ts';
import type { ModbusOptions } from './options.ts';
import { Outputs } from './outputs.ts';
import { PolledChannel } from './polled-channel.ts';
import { describeRequest } from './protocol/request.ts';
import { collectQuirks, type Quirks } from './quirks.ts';
import { noModelError, SunSpecLocator } from './sunspec.ts';
import type { ResponseDelays } from './transport/line-timing.ts';
import type { Transport } from './transport/transport.ts';
import { CancellableDelays, encodeWrite } from './write.ts';

const READ_TTL_MS = 10_000;

/** One Modbus bus and everything on it. */
export class ModbusPort implements Port {
  readonly #watches = new Map<string, PolledChannel>();
  readonly #transport: Transport;
  readonly #poller: Poller;
  readonly #scheduler: Scheduler;
  readonly #limits: (unit: number) => PlanLimits;
  readonly #context: PortContext;
  readonly #options: ModbusOptions;
  readonly #quirks: ReadonlyMap<number, Quirks>;
  readonly #outputs: Outputs;
  readonly #locator: SunSpecLocator;
  readonly #delays: CancellableDelays;
  readonly #onDown = new Set<() => void>();
  #planned = false;
  #closed = false;

  constructor(
    transport: Transport,
    limits: (unit: number) => PlanLimits,
    options: ModbusOptions,
    channels: readonly Channel<ModbusAddress>[],
    context: PortContext,
    times?: ResponseDelays,
  ) {
    const count = (name: string, by?: number) => context.count(name, by);
    this.#transport = transport;
    this.#limits = limits;
    this.#context = context;
    this.#options = options;
    this.#quirks = collectQuirks(channels.map(({ address: { unit = options.unit, quirks } }) => ({ unit, quirks })));
    this.#delays = new CancellableDelays(context.clock);
    this.#poller = new Poller(limits, count, (span) => {
      const what = describeRequest({ kind: 'read', ...span });
      context.log.info({ ...span }, `${what}: the device has no such address in it; it is read in parts`);
    });
    this.#scheduler = new Scheduler(
      transport,
      this.#poller,
      context.clock,
      count,
      (unit, back) => {
        if (back) this.#outputs.unitReturned(unit);
        this.#outputs.unitAnswered(unit);
      },
      (request, tripMs) => {
        // How long a device thinks decides what is worth reading along.
        if (times?.record(request, tripMs)) this.#replan();
      },
    );
    const { clock, log } = context;
    const own = { clock, run: <T>(task: Task<T>) => this.run(task), ended: () => this.#closed };
    this.#outputs = new Outputs({ ...own, log, delays: this.#delays, count }, this.#watches);
    this.#locator = new SunSpecLocator({ ...own, watches: this.#watches, located: () => this.#replan() });
    for (const channel of channels) this.#watches.set(channel.key, new PolledChannel(channel, options));
  }

  /**
   * Writes the start values, before anything else is asked of the bus. A device that refuses does not stop the rest;
   * one that does not answer gets its start value as soon as it does.
   */
  async start(): Promise<void> {
    const starting = [...this.#watches.values()].flatMap((watch) => {
      const { openingValue: start } = watch.channel;
      return start === undefined ? [] : [this.#outputs.start(watch, start)];
    });
    this.#locator.start();
    await Promise.all(starting);
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#closed) throw new DcsError('PORT_DOWN', 'the port is closed');
    const readings = new Map<PolledChannel, Reading>();
    const groups = new Map<string, PolledChannel[]>();
    for (const { key } of channels) {
      const watch = this.#watches.get(key);
      if (watch && !watch.located) readings.set(watch, watch.last ?? { ok: false, error: noModelError(watch) });
      if (!watch?.located) continue;
      const group = `${watch.span.unit}/${watch.span.table}`;
      groups.set(group, [...(groups.get(group) ?? []), watch]);
    }
    const blocks = [...groups.values()].flatMap((group) =>
      planBlocks(group, ({ span }) => span, this.#limits(group[0]?.span.unit ?? 0)),
    );
    await Promise.all(blocks.map(({ items }) => this.#readTogether(items, readings)));
    return channels.map((channel) => {
      const watch = this.#watches.get(channel.key);
      return (watch && readings.get(watch)) ?? { ok: false, error: unknown(channel) };
    });
  }

  async write(channel: Channel, value: RawValue, options: WriteOptions = {}): Promise<WriteResult> {
    const watch = this.#watches.get(channel.key);
    if (!watch) throw unknown(channel);
    return await this.#outputs.command(watch, value, options);
  }

  /** Values whose SunSpec model has not been found are left out until it is. */
  crashPlan(writes: readonly SafeWrite[]): CrashPlan | undefined {
    const requests = writes.flatMap(({ channel, value }) => {
      const watch = this.#watches.get(channel.key);
      return watch?.located ? [encodeWrite(watch, value)] : [];
    });
    if (requests.length === 0) return undefined;
    const plan: ModbusPlan = { options: this.#options, quirks: this.#quirks, writes: requests };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  /** Puts a piece of work on a unit into the bus's one queue. */
  run<Result>(task: Task<Result>): Promise<Result> {
    return this.#scheduler.submit(task);
  }

  metrics(): Record<string, number> {
    return this.#scheduler.metrics;
  }

  subscribe(channel: Channel, listener: ReadingListener): () => void {
    const watch = this.#watches.get(channel.key);
    let active = true;
    const tell = (reading: Reading) => {
      if (active && !this.#closed) listener(reading);
    };
    const last: Reading | undefined = watch ? watch.last : { ok: false, error: unknown(channel) };
    if (last) this.#context.clock.after(0, () => tell(last));
    const unlisten = watch?.listen(tell);
    this.#replan();
    return () => {
      active = false;
      unlisten?.();
      this.#replan();
    };
  }

  async close(): Promise<void> {
    this.down();
    await this.#transport.close();
  }

  /** Something in the transport lets the bus go on. */
  freed(): void {
    this.#scheduler.dispatch();
  }

  /** Calls `end` when the port goes down or is closed. */
  onDown(end: () => void): void {
    this.#onDown.add(end);
  }

  /** Ends all reporting; what waits is rejected. */
  down(): void {
    this.#closed = true;
    this.#scheduler.close();
    this.#delays.end(new DcsError('PORT_DOWN', 'the port went down'));
    for (const end of this.#onDown) end();
    for (const watch of this.#watches.values()) watch.silence();
  }

  /** Reads watches of one block; if the device refuses the block, one by one, so that only the refused one fails. */
  async #readTogether(watches: readonly PolledChannel[], readings: Map<PolledChannel, Reading>): Promise<void> {
    const first = watches[0];
    const last = Math.max(...watches.map(({ span }) => span.first + span.count));
    if (!first) return;
    const span = { ...first.span, count: last - first.span.first };
    try {
      const data = await this.#scheduler.submit({
        lane: 'demand',
        unit: span.unit,
        ttlMs: READ_TTL_MS,
        work: (ask) => ask({ kind: 'read', ...span }),
      });
      for (const watch of watches) readings.set(watch, watch.decode(data, watch.span.first - span.first));
    } catch (thrown) {
      const error = toDcsError(thrown);
      if (this.#closed) throw error;
      if (error.code === 'NO_SUCH_CHANNEL' && watches.length > 1) {
        await Promise.all(watches.map((watch) => this.#readTogether([watch], readings)));
        return;
      }
      for (const watch of watches) readings.set(watch, { ok: false, error });
    }
  }

  /** Plans once for all subscriptions made in one go. */
  #replan(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      if (this.#closed) return;
      const watched = [...this.#watches.values()].filter((watch) => watch.watched && watch.located);
      // The poller spreads reads over their period in this order: a line is set anew as rarely as can be.
      watched.sort((a, b) => (a.lineKey < b.lineKey ? -1 : a.lineKey > b.lineKey ? 1 : 0));
      this.#poller.plan(watched, this.#context.clock.now());
      this.#scheduler.dispatch();
    });
  }
}

function unknown(channel: Channel): DcsError {
  return new DcsError('NO_SUCH_CHANNEL', `${channel.key} is not a channel of this port`);
}
