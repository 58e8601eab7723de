import { type Clock, type Timer, withDeadline } from '../clock/clock.ts';
import type {
  ByteStream,
  Channel,
  Driver,
  HeldDescriptors,
  Port,
  PortContext,
  Reading,
  ReadingListener,
  WriteOptions,
  WriteResult,
} from '../driver/contract.ts';
import { DcsError, toDcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { RawValue } from '../pin/pin.ts';
import { ReopenBackoff } from './reopen-backoff.ts';
import { WriteBatch } from './write-batch.ts';

/** A channel of a port that is opened again and again: what never changes, and the values of each opening. */
export interface ChannelPlan {
  readonly channel: Channel;
  /** Raw value to drive when the port opens for the first time. */
  readonly openingValue: () => RawValue | undefined;
  /** Raw value to drive when the hardware comes back; `openingValue` when `undefined`. */
  readonly returnValue?: () => RawValue | undefined;
  /** See Channel.valueInForce. */
  readonly valueInForce?: () => RawValue | undefined;
  /** Counters: called with every count, the last one before the port closes included. */
  readonly counted?: (count: number) => void;
}

/** A pin's access to its channel. It outlives the port. */
export interface ChannelHandle {
  readonly port: string;
  /** The port debounces by itself; known once it is open. */
  readonly debounced: boolean;
  read(): Promise<Reading>;
  /** Rejects at once when the port is not open: a command never waits for a port to come back. */
  write(value: RawValue, options?: WriteOptions): Promise<WriteResult>;
  /** See Port.resolution. `undefined` when the port is not open. */
  resolution(value: RawValue): number | undefined;
  /** Sets a counter. Rejects as `write` does, and with READ_ONLY when the port has none to set. */
  preset(value: RawValue): Promise<WriteResult>;
  /** Stops driving the output. Rejects with NOT_SUPPORTED when the port cannot. */
  float(): Promise<void>;
  listen(listener: ReadingListener): () => void;
}

/** The environment of a runner. */
export interface PortEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  /** Called with every port that has been opened, and again when its crash plan has changed. Must not throw. */
  opened?(port: Port): void;
  /** Called before a port that went down is closed, so that a guardian releases its hardware. Must not throw. */
  lostPort?(): void;
  /** See PortContext.reclaim. */
  reclaim?(): Promise<readonly HeldDescriptors[]>;
  /** The first opening counts as one after a loss: it is not known what the outputs did before. */
  readonly lost?: boolean;
}

/** One attempt to open the port, and the port that came of it. */
interface Opening {
  port: Port | undefined;
  /** Why the port went down. */
  lost: DcsError | undefined;
  /** Last reading of each channel that the port told while it was being opened. */
  readonly early: Map<string, Reading>;
}

export type PortState = 'opening' | 'open' | 'down' | 'skipped' | 'failed' | 'stopped';

const CLOSE_LIMIT_MS = 400;
const LAST_COUNTS_MS = 100;

/**
 * Keeps one port open. A port that goes down is closed and opened again with backoff (100 ms doubling to 3 s), for ever.
 * Meanwhile its channels have bad readings with the reason. A driver that throws defects (INTERNAL) ten times in a row is given
 * up.
 */
export class PortRunner {
  readonly name: string;
  state: PortState = 'opening';
  /** Why the port is not open. */
  reason: DcsError | undefined = new DcsError('PORT_DOWN', 'not opened yet');
  readonly counters = new Map<string, number>();
  readonly #driver: Driver;
  readonly #options: unknown;
  readonly #plans: readonly ChannelPlan[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #environment: PortEnvironment;
  readonly #listeners = new Map<string, Set<ReadingListener>>();
  readonly #last = new Map<string, Reading>();
  readonly #countListeners = new Map<string, (count: number) => void>();
  readonly #streamListeners = new Set<(stream: ByteStream) => void>();
  #port: Port | undefined;
  /** Closing of the previous port; settled when it has released the hardware. */
  #closing: Promise<void> | undefined;
  #writes: WriteBatch | undefined;
  /** The channels as the present port was opened with them. */
  #currentChannels = new Map<string, Channel>();
  #opened: boolean;
  readonly #reopening: ReopenBackoff;
  #timer: Timer | undefined;
  /** Resolves when the port is not being opened: opening drives outputs. Never rejects. */
  settled: Promise<void> = Promise.resolve();

  constructor(
    name: string,
    driver: Driver,
    options: unknown,
    plans: readonly ChannelPlan[],
    environment: PortEnvironment,
  ) {
    this.name = name;
    this.#driver = driver;
    this.#options = options;
    this.#plans = plans;
    this.#clock = environment.clock;
    this.#log = environment.log;
    this.#environment = environment;
    this.#opened = environment.lost === true;
    this.#reopening = new ReopenBackoff(driver.reopenMs);
    for (const { channel, counted } of plans) if (counted) this.#countListeners.set(channel.key, counted);
  }

  /** Resolves after the first attempt to open, whether or not it succeeded. Never rejects. */
  async start(): Promise<void> {
    if (!this.#isStopped()) this.settled = this.#open();
    await this.settled;
  }

  /** Closes the port for good. Idempotent and bounded; never rejects. */
  async stop(): Promise<void> {
    this.state = 'stopped';
    this.reason = new DcsError('STOPPED', `port ${this.name} is closed: the agent is stopping`);
    this.#timer?.cancel();
    const port = this.#port;
    this.#port = undefined;
    if (!port) return this.#closing;
    await this.#lastCounts(port);
    await this.#close(port);
  }

  handle(channel: Channel): ChannelHandle {
    const runner = this;
    return {
      port: this.name,
      get debounced() {
        return runner.#port?.debounces === true;
      },
      read: async () => {
        const [reading] = await this.#live().read([this.#current(channel)]);
        return reading ?? { ok: false, error: new DcsError('INTERNAL', `${this.name} gave no reading`) };
      },
      write: async (value, options) => {
        const port = this.#live();
        const writes = this.#writes?.port === port ? this.#writes : new WriteBatch(port);
        this.#writes = writes;
        const result = await writes.write(this.#current(channel), value, options);
        this.#noteResult(port, channel.key, value, result);
        return result;
      },
      resolution: (value) => this.#port?.resolution?.(this.#current(channel), value),
      preset: async (value) => {
        const port = this.#live();
        if (!port.preset) throw new DcsError('READ_ONLY', `port ${this.name} cannot set ${channel.key}`);
        const result = await port.preset(this.#current(channel), value);
        this.#noteResult(port, channel.key, value, result);
        return result;
      },
      float: async () => {
        const port = this.#live();
        if (!port.float) throw new DcsError('NOT_SUPPORTED', `port ${this.name} cannot stop driving ${channel.key}`);
        await port.float(this.#current(channel));
      },
      listen: (listener) => {
        const listeners = this.#listen(channel.key, listener);
        // A pin that its supervisor restarted must not wait for the next change.
        queueMicrotask(() => {
          const last = this.#last.get(channel.key);
          if (last && listeners.has(listener)) listener(last);
        });
        return () => {
          listeners.delete(listener);
        };
      },
    };
  }

  /** The open port. Throws a DcsError when it is not open. */
  get port(): Port {
    return this.#live();
  }

  /** Metrics of the open port; none when it is not open. */
  get metrics(): Readonly<Record<string, number>> {
    return this.#port?.metrics?.() ?? {};
  }

  /** The byte stream of the open port; `undefined` when it has none. Throws a DcsError when the port is not open. */
  get stream(): ByteStream | undefined {
    return this.#live().stream;
  }

  /** Calls `listener` with the byte stream of the open port, and of every port opened later. */
  onStream(listener: (stream: ByteStream) => void): () => void {
    this.#streamListeners.add(listener);
    if (this.state === 'open' && this.#port?.stream) listener(this.#port.stream);
    return () => {
      this.#streamListeners.delete(listener);
    };
  }

  async #open(): Promise<void> {
    this.state = 'opening';
    // The port before this one holds the hardware until it is closed.
    if (this.#closing) await this.#closing;
    if (this.#isStopped()) return;
    const channels = this.#channelsToOpen();
    const opening: Opening = { port: undefined, lost: undefined, early: new Map() };
    try {
      const opened = await this.#driver.open(this.#options, channels, this.#contextOf(opening));
      if (opened.kind === 'skipped') {
        const reason = `port ${this.name} is skipped: ${opened.reason}`;
        this.#giveUp('skipped', new DcsError('PORT_SKIPPED', reason));
        return;
      }
      opening.port = opened.port;
    } catch (error) {
      this.#retry(toDcsError(error, 'INTERNAL', `port ${this.name}: `));
      return;
    }
    if (this.#isStopped()) {
      await this.#close(opening.port);
      return;
    }
    this.#port = opening.port;
    this.#opened = true;
    this.#currentChannels = new Map(channels.map((channel) => [channel.key, channel]));
    if (opening.lost) {
      this.#lost(opening.lost);
      return;
    }
    this.#ready(opening.port);
    for (const [key, reading] of opening.early) this.#tell(key, reading);
  }

  /** The channels with the values of this opening: the first one, or one after a loss. */
  #channelsToOpen(): Channel[] {
    return this.#plans.map((plan): Channel => {
      const returnValue = plan.returnValue ?? plan.openingValue;
      const openingValue = this.#opened ? returnValue() : plan.openingValue();
      return {
        ...plan.channel,
        ...(openingValue !== undefined && { openingValue }),
        ...(plan.channel.direction === 'out' && { returnValue }),
        ...(plan.valueInForce && { valueInForce: plan.valueInForce }),
      };
    });
  }

  /** A port may go down while it is being opened, and may still call when it was given up: only the present one counts. */
  #contextOf(opening: Opening): PortContext {
    const isPresent = () => opening.port !== undefined && opening.port === this.#port;
    return {
      clock: this.#clock,
      log: this.#log,
      ...(this.#environment.reclaim && { reclaim: this.#environment.reclaim }),
      crashPlanChanged: () => {
        if (opening.port && isPresent()) this.#environment.opened?.(opening.port);
      },
      changed: ({ key }, reading) => {
        if (opening.lost) return;
        if (!opening.port) opening.early.set(key, reading);
        else if (isPresent()) this.#tell(key, reading);
      },
      count: (name, by = 1) => {
        this.counters.set(name, (this.counters.get(name) ?? 0) + by);
      },
      down: (error) => {
        opening.lost = error;
        if (isPresent()) this.#lost(error);
      },
    };
  }

  #ready(port: Port): void {
    this.state = 'open';
    this.reason = undefined;
    this.#reopening.onOpened(this.#clock.now());
    this.#log.info({ port: this.name, driver: this.#driver.name }, `port ${this.name} is open`);
    this.#environment.opened?.(port);
    if (port.stream) for (const listener of this.#streamListeners) listener(port.stream);
  }

  #current(channel: Channel): Channel {
    return this.#currentChannels.get(channel.key) ?? channel;
  }

  #live(): Port {
    if (this.#port && this.state === 'open') return this.#port;
    throw this.reason ?? new DcsError('PORT_DOWN', `port ${this.name} is not open`);
  }

  #lost(error: DcsError): void {
    const port = this.#port;
    this.#port = undefined;
    this.#environment.lostPort?.();
    if (port) this.#closing = this.#close(port);
    this.#retry(error);
  }

  #retry(error: DcsError): void {
    if (this.#isStopped()) return;
    const news = this.state === 'open' || this.reason?.message !== error.message;
    this.state = 'down';
    this.reason = error;
    const wait = this.#reopening.onFailed(error, this.#clock.now());
    if (wait === undefined) {
      this.#giveUp(
        'failed',
        new DcsError('FAILED', `port ${this.name} keeps failing and is given up: ${error.message}`),
      );
      return;
    }
    if (news) this.#log.warn({ port: this.name, code: error.code, err: error }, `port ${this.name}: ${error.message}`);
    for (const { channel } of this.#plans) this.#tell(channel.key, { ok: false, error });
    this.#timer = this.#clock.after(wait, () => {
      this.settled = this.#open();
    });
  }

  #giveUp(state: 'skipped' | 'failed', error: DcsError): void {
    this.state = state;
    this.reason = error;
    this.#log.warn({ port: this.name, code: error.code }, error.message);
    for (const { channel } of this.#plans) this.#tell(channel.key, { ok: false, error });
  }

  #tell(key: string, reading: Reading): void {
    this.#last.set(key, reading);
    if (reading.ok && typeof reading.value === 'number') this.#countListeners.get(key)?.(reading.value);
    for (const listener of this.#listeners.get(key) ?? []) listener(reading);
  }

  /** A write is answered, not told again: its value is the last one known. */
  #noteResult(port: Port, key: string, value: RawValue, { readBack = value }: WriteResult): void {
    if (port !== this.#port) return;
    this.#last.set(key, { ok: true, value: readBack });
    if (typeof readBack === 'number') this.#countListeners.get(key)?.(readBack);
  }

  #listen(key: string, listener: ReadingListener): Set<ReadingListener> {
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(listener));
    return listeners;
  }

  /** Reads the counters a last time: edges may have come since the last report. */
  async #lastCounts(port: Port): Promise<void> {
    const channels = this.#plans.flatMap(({ channel, counted }) => (counted ? [this.#current(channel)] : []));
    if (channels.length === 0) return;
    try {
      const late = () => new DcsError('TIMEOUT', `port ${this.name} did not read its counters in time`);
      const readings = await withDeadline(this.#clock, LAST_COUNTS_MS, port.read(channels), late);
      channels.forEach(({ key }, at) => {
        const reading = readings[at];
        if (reading) this.#tell(key, reading);
      });
    } catch (error) {
      this.#log.warn({ port: this.name, err: error }, `port ${this.name}: counts since the last report are not kept`);
    }
  }

  async #close(port: Port): Promise<void> {
    try {
      const late = () => new DcsError('TIMEOUT', `port ${this.name} did not close within ${CLOSE_LIMIT_MS} ms`);
      await withDeadline(this.#clock, CLOSE_LIMIT_MS, port.close(), late);
    } catch (error) {
      this.#log.error({ port: this.name, err: error }, `port ${this.name} did not close cleanly`);
    }
  }

  /** A method: otherwise the compiler would assume the state from before an await. */
  #isStopped(): boolean {
    return this.state === 'stopped';
  }
}
