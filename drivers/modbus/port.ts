import type {
  Channel,
  CrashPlan,
  Port,
  PortContext,
  Reading,
  SafeWrite,
  WriteOptions,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { type PlanLimits, planBlocks } from '../../src/driver/kit/block-planner.ts';
import { Poller } from '../../src/driver/kit/poller.ts';
import { Scheduler } from '../../src/driver/kit/scheduler.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { ModbusAddress } from './address.ts';
import type { ModbusPlan, PlannedWrite } from './crash-plan.ts';
import { lossOf } from './loss.ts';
import type { ModbusOptions } from './options.ts';
import { Outputs } from './outputs.ts';
import { mayReadWhole } from './pieces.ts';
import { PolledChannel } from './polled-channel.ts';
import { isDivisible } from './protocol/exception.ts';
import { describeRequest, type Request, type TableSpan } from './protocol/request.ts';
import { collectQuirks, type Quirks, readLimits } from './quirks.ts';
import { resolutionAt } from './register-format.ts';
import { SunSpecUnit } from './sunspec.ts';
import { type ResponseDelays, readGap } from './transport/line-timing.ts';
import type { ModbusTask, ModbusTransact, Transport } from './transport/transport.ts';
import { CancellableDelays, checkWrite } from './write.ts';
import { type WriteAttempt, WriteFunctions } from './write-functions.ts';

const READ_TTL_MS = 10_000;

/** One Modbus bus and everything on it. */
export class ModbusPort implements Port {
  readonly #channels = new Map<string, PolledChannel>();
  readonly #transport: Transport;
  readonly #poller: Poller<TableSpan, Buffer>;
  readonly #scheduler: Scheduler<Request, Buffer, TableSpan>;
  readonly #context: PortContext;
  readonly #options: ModbusOptions;
  readonly #quirks: ReadonlyMap<number, Quirks>;
  readonly #responseDelays: ResponseDelays | undefined;
  readonly #outputs: Outputs;
  readonly #functions: WriteFunctions;
  readonly #sunspec: ReadonlyMap<number, SunSpecUnit>;
  readonly #delays: CancellableDelays;
  readonly #onDown = new Set<() => void>();
  /** The opening values have been written, so polling may begin. */
  #started = false;
  #planning = false;
  /** Units whose SunSpec points have been confirmed since the last plan. */
  readonly #confirmed = new Set<number>();
  #closed = false;

  /** `responseDelays`: those of the units on a serial line; `undefined` over a network. */
  constructor(
    transport: Transport,
    options: ModbusOptions,
    channels: readonly Channel<ModbusAddress>[],
    context: PortContext,
    responseDelays?: ResponseDelays,
  ) {
    const { clock, log } = context;
    const count = (name: string, by?: number) => context.count(name, by);
    this.#transport = transport;
    this.#context = context;
    this.#options = options;
    this.#responseDelays = responseDelays;
    this.#quirks = collectQuirks(channels.map(({ address: { unit = options.unit, quirks } }) => ({ unit, quirks })));
    this.#delays = new CancellableDelays(clock);
    this.#functions = new WriteFunctions((message) => {
      log.info({}, message);
      count('write_functions_learned');
      context.crashPlanChanged?.();
    });
    this.#poller = new Poller({
      limits: (span) => this.#limits(span),
      count,
      onSplit: (span) => {
        const what = describeRequest({ kind: 'read', ...span });
        log.info({ ...span }, `${what}: the device refuses this read; it is read in parts and tried whole again later`);
      },
    });
    this.#scheduler = new Scheduler({
      transport,
      poller: this.#poller,
      clock,
      count,
      readRequest: (span, [only, other]): Request =>
        only instanceof PolledChannel && !other ? only.readRequest : { kind: 'read', ...span },
      loss: (unit) => lossOf(options, this.#quirks.get(unit)),
      repeatable: ({ kind }) => kind === 'read',
      divisible: isDivisible,
      onAnswer: (unit, wasOffline) => {
        this.#sunspec.get(unit)?.answered(wasOffline);
        if (wasOffline) this.#outputs.unitReturned(unit);
        this.#outputs.unitAnswered(unit);
      },
      onSilence: (unit) => this.#sunspec.get(unit)?.silent(),
      onRoundTrip: (request, tripMs) => {
        // The response delay decides which gaps are worth reading along.
        if (responseDelays?.record(request, tripMs)) this.#replan();
      },
    });
    const bus = { clock, run: <T>(task: ModbusTask<T>) => this.run(task), ended: () => this.#closed };
    const confirmPlace = (polled: PolledChannel) => {
      const unit = this.#sunspec.get(polled.span.unit);
      if (polled.address.model === undefined || !unit) return undefined;
      return (transact: ModbusTransact) => unit.confirm(transact, polled);
    };
    const outputBus = {
      ...bus,
      log,
      delays: this.#delays,
      connectPauseMs: options.connect?.pause ?? 0,
      functions: this.#functions,
      isOffline: (unit: number) => this.#scheduler.isOffline(unit),
      count,
      confirmPlace,
    };
    this.#outputs = new Outputs(outputBus, this.#channels);
    for (const channel of channels) {
      const changed = (reading: Reading) => {
        if (!this.#closed) context.changed(channel, reading);
      };
      const quirks = this.#quirks.get(channel.address.unit ?? options.unit);
      const aging = { ...lossOf(options, quirks), clock };
      const polled = new PolledChannel(channel, options, changed, aging);
      this.#noteReach(polled);
      this.#channels.set(channel.key, polled);
    }
    this.#sunspec = this.#sunSpecUnits();
  }

  #noteReach(polled: PolledChannel): void {
    const { pieces, span } = polled;
    polled.readAlone = pieces !== undefined && !mayReadWhole(span, pieces, this.#options, this.#quirks.get(span.unit));
  }

  #sunSpecUnits(): Map<number, SunSpecUnit> {
    const { clock, crashPlanChanged } = this.#context;
    const points = [...this.#channels.values()].filter(({ address }) => address.model !== undefined);
    const bus = {
      clock,
      run: <T>(task: ModbusTask<T>) => this.run(task),
      probe: (request: Request) => this.#transport.transact(request),
      freeAt: (unit: number) => this.#transport.freeAt(unit),
      isOffline: (unit: number) => this.#scheduler.isOffline(unit),
      ended: () => this.#closed,
      confirmed: (unit: number, changed: boolean) => {
        for (const point of points) this.#noteReach(point);
        this.#replan(unit);
        if (changed) crashPlanChanged?.();
      },
    };
    const units = new Set(points.map(({ span }) => span.unit));
    const own = (unit: number) => points.filter(({ span }) => span.unit === unit);
    return new Map([...units].map((unit) => [unit, new SunSpecUnit(bus, unit, own(unit))]));
  }

  /**
   * Writes the opening values before anything else is sent, then begins to poll. A device that refuses does not stop the
   * rest; a device that does not answer gets its opening value as soon as it does.
   */
  async start(): Promise<void> {
    const opening = [...this.#channels.values()].flatMap((polled) => {
      const { openingValue } = polled.channel;
      return openingValue === undefined ? [] : [this.#outputs.open(polled, openingValue)];
    });
    for (const polled of this.#channels.values()) {
      // No order is pending, as far as anybody can know.
      const { kind, address } = polled.channel;
      if (!polled.readable && address.selfClearing && kind === 'digital') polled.report({ ok: true, value: false });
    }
    for (const unit of this.#sunspec.values()) unit.start();
    await Promise.all(opening);
    this.#started = true;
    this.#replan();
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#closed) throw new DcsError('PORT_DOWN', 'the port is closed');
    const readings = new Map<PolledChannel, Reading>();
    const groups = new Map<string, PolledChannel[]>();
    const wanted = channels.flatMap(({ key }) => this.#channels.get(key) ?? []);
    const unsettled = await this.#settlePlaces(wanted);
    for (const polled of wanted) {
      const error = unsettled.get(polled.span.unit);
      if (polled.address.model !== undefined && error) readings.set(polled, { ok: false, error });
      const kept = keptReading(polled);
      if (kept && !readings.has(polled)) readings.set(polled, kept);
      if (readings.has(polled) || !polled.located) continue;
      const group = `${polled.span.unit}/${polled.span.table}/${polled.readWith ?? ''}`;
      groups.set(group, [...(groups.get(group) ?? []), polled]);
    }
    const blocks = [...groups.values()].flatMap((group) => {
      const [first] = group;
      return first ? planBlocks(group, ({ span }) => span, this.#limits(first.span)) : [];
    });
    await Promise.all(blocks.map(({ items }) => this.#readTogether(items, readings)));
    return channels.map((channel) => {
      const polled = this.#channels.get(channel.key);
      return (polled && readings.get(polled)) ?? { ok: false, error: unknownChannel(channel) };
    });
  }

  /** Confirms the places of the SunSpec points among these. Resolves with the error of each unit where that failed. */
  async #settlePlaces(wanted: readonly PolledChannel[]): Promise<ReadonlyMap<number, DcsError>> {
    const failures = new Map<number, DcsError>();
    const settle = async (unit: number) => {
      try {
        await this.#sunspec.get(unit)?.settled();
      } catch (thrown) {
        const error = toDcsError(thrown);
        if (this.#closed) throw error;
        failures.set(unit, error);
      }
    };
    await Promise.all([...new Set(wanted.map(({ span }) => span.unit))].map(settle));
    return failures;
  }

  async write(channel: Channel, value: RawValue, options: WriteOptions = {}): Promise<WriteResult> {
    const polled = this.#channels.get(channel.key);
    if (!polled) throw unknownChannel(channel);
    return await this.#outputs.command(polled, value, options);
  }

  resolution({ key }: Channel, value: RawValue): number | undefined {
    const format = this.#channels.get(key)?.exactFormat;
    return format && resolutionAt(format, value);
  }

  crashPlan(writes: readonly SafeWrite[]): CrashPlan | undefined {
    const planned = writes.flatMap(({ channel, value }): PlannedWrite[] => {
      const polled = this.#channels.get(channel.key);
      if (!polled) return [];
      checkWrite(polled, value);
      if (polled.isNoOrder(value)) return [];
      // Without its functions, which cannot be copied to another process.
      const { key, kind, direction, address, debounceMs } = polled.channel;
      const plain = { key, kind, direction, address, debounceMs };
      return [{ channel: plain, value, found: polled.found, choice: this.#functions.choiceFor(polled.written) }];
    });
    if (planned.length === 0) return undefined;
    const plan: ModbusPlan = { options: this.#options, quirks: this.#quirks, writes: planned };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  /** Puts a task into the one queue of the bus. */
  run<Result>(task: ModbusTask<Result>): Promise<Result> {
    return this.#scheduler.submit(task);
  }

  /** Begins a write of a register of `unit` that is no pin's: its watchdog. */
  attemptWrite(unit: number, key: string): WriteAttempt {
    const ofUnit = [...this.#channels.values()].filter(({ written }) => written.unit === unit);
    const stated = ofUnit.find(({ written }) => written.keys.register !== undefined)?.written.keys;
    return this.#functions.attempt({ unit, key, keys: stated ?? this.#options.write ?? {} });
  }

  metrics(): Record<string, number> {
    return this.#scheduler.metrics;
  }

  async close(): Promise<void> {
    this.down();
    await this.#transport.close();
  }

  /** The transport can serve a unit again; see TransportEvents.unitReleased. */
  unitReleased(): void {
    this.#scheduler.dispatch();
  }

  /** The device had closed the connection, and there is a new one. */
  reconnected(): void {
    for (const unit of this.#sunspec.values()) unit.doubt();
  }

  /** Calls `end` when the port goes down or is closed. */
  onDown(end: () => void): void {
    this.#onDown.add(end);
  }

  /** Tells no more changes and rejects what waits. */
  down(): void {
    this.#closed = true;
    this.#scheduler.close();
    for (const unit of this.#sunspec.values()) unit.end();
    this.#delays.cancelAll(new DcsError('PORT_DOWN', 'the port went down'));
    for (const end of this.#onDown) end();
  }

  #limits(span: TableSpan): PlanLimits {
    const { unit } = span;
    const delays = this.#responseDelays;
    const gap = this.#options.max_gap ?? readGap(delays?.timingOf(unit), delays?.delayOf(unit));
    return readLimits(span, gap, this.#quirks.get(unit));
  }

  /** Reads channels in one request; if the device refuses it, one by one, so that only the refused channel fails. */
  async #readTogether(channels: readonly PolledChannel[], readings: Map<PolledChannel, Reading>): Promise<void> {
    const [first, second] = channels;
    if (!first) return;
    const end = Math.max(...channels.map(({ span }) => span.first + span.count));
    const span = { ...first.span, count: end - first.span.first };
    try {
      const data = await this.run({
        lane: 'demand',
        unit: span.unit,
        ttlMs: READ_TTL_MS,
        work: (transact) => transact(second ? { kind: 'read', ...span } : first.readRequest),
      });
      for (const polled of channels) readings.set(polled, polled.take(data, polled.span.first - span.first));
    } catch (thrown) {
      const error = toDcsError(thrown);
      if (this.#closed) throw error;
      if (isDivisible(error) && channels.length > 1) {
        await Promise.all(channels.map((polled) => this.#readTogether([polled], readings)));
        return;
      }
      for (const polled of channels) {
        readings.set(polled, { ok: false, error });
        // Whoever asked takes the value for unknown: it is polled at once, and told.
        polled.forgetLast();
      }
      this.#replan();
    }
  }

  /** Plans the polls anew, once for all changes made in one go. The points of `unit` have been confirmed: they are read at once. */
  #replan(unit?: number): void {
    if (unit !== undefined) this.#confirmed.add(unit);
    if (this.#planning || !this.#started) return;
    this.#planning = true;
    queueMicrotask(() => {
      this.#planning = false;
      if (this.#closed) return;
      const located = [...this.#channels.values()].filter((polled) => polled.located && polled.readable);
      // The poller spreads reads over their period in this order, so line settings change as rarely as possible.
      located.sort((a, b) => (a.lineKey < b.lineKey ? -1 : a.lineKey > b.lineKey ? 1 : 0));
      const now = this.#context.clock.now();
      this.#poller.plan(located, now);
      for (const confirmed of this.#confirmed) this.#poller.pollNow(confirmed, now);
      this.#confirmed.clear();
      this.#scheduler.dispatch();
    });
  }
}

/** The last reading of a channel that cannot be asked. */
function keptReading({ channel, readable, located, last }: PolledChannel): Reading | undefined {
  if (readable) return located ? undefined : last;
  const why = `${channel.key} is never read: its configuration says read: false`;
  return last ?? { ok: false, error: new DcsError('NOT_SUPPORTED', why) };
}

function unknownChannel(channel: Channel): DcsError {
  return new DcsError('NO_SUCH_CHANNEL', `${channel.key} is not a channel of this port`);
}
