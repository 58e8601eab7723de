import { type DurationMs, sleep } from '../../src/clock/clock.ts';
import type {
  Channel,
  CrashPlan,
  Port,
  PortContext,
  Reading,
  ReadingListener,
  SafeWrite,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { fitsKind, type RawValue } from '../../src/pin/pin.ts';
import type { MockPlan } from './crash-plan.ts';
import type { Fault, MockDevice } from './device.ts';

interface Subscription {
  readonly channel: Channel;
  readonly listener: ReadingListener;
}

/** A port on simulated hardware. Obeys the same contract as every real one. */
export class MockPort implements Port {
  readonly #hardware: MockDevice;
  readonly #context: PortContext;
  readonly #latency: DurationMs;
  readonly #timeout: DurationMs;
  readonly #record: string | undefined;
  readonly #subscriptions = new Set<Subscription>();
  /** Rejects what is pending when the port ends. */
  readonly #pending = new Set<(error: DcsError) => void>();
  readonly #unwatch: () => void;
  #ended: DcsError | undefined;

  constructor(
    hardware: MockDevice,
    channels: readonly Channel[],
    times: { latency: DurationMs; timeout: DurationMs; record?: string | undefined },
    context: PortContext,
  ) {
    this.#hardware = hardware;
    this.#context = context;
    this.#latency = times.latency;
    this.#timeout = times.timeout;
    this.#record = times.record;
    for (const { key, direction, openingValue } of channels) {
      if (direction === 'out' && openingValue !== undefined) hardware.write(key, openingValue, context.clock);
    }
    this.#unwatch = hardware.watch(
      (key) => this.#changed(key),
      (error) => {
        if (this.#ended) return;
        this.#end(error);
        context.down(error);
      },
    );
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    await this.#wait(channels.some(({ key }) => this.#hardware.faultOf(key)?.kind === 'timeout'));
    return channels.map((channel) => this.#read(channel));
  }

  async write(channel: Channel, value: RawValue): Promise<WriteResult> {
    if (channel.direction !== 'out') throw new DcsError('READ_ONLY', `${channel.key} is an input`);
    if (!fitsKind(channel.kind, value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} cannot hold ${JSON.stringify(value)}`, {
        found: value,
        expected: channel.kind,
      });
    }
    const fault = this.#hardware.faultOf(channel.key);
    await this.#wait(fault?.kind === 'timeout');
    if (fault) {
      this.#context.count(fault.kind === 'timeout' ? 'timeouts' : 'errors');
      throw failure(channel, fault);
    }
    this.#hardware.write(channel.key, value, this.#context.clock);
    return { readBack: this.#hardware.get(channel.key, channel.kind) };
  }

  /** It keeps its level, as a wire without a load does, until somebody sets it. */
  async float({ key }: Channel): Promise<void> {
    await this.#wait(false);
    this.#hardware.floating.add(key);
  }

  /** A simulated counter can be set as a real one. */
  async preset(channel: Channel, value: RawValue): Promise<WriteResult> {
    await this.#wait(false);
    if (channel.kind !== 'counter') throw new DcsError('READ_ONLY', `${channel.key} has no count to set`);
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} counts in whole numbers`, { found: value });
    }
    this.#hardware.set(channel.key, value);
    return { readBack: value };
  }

  /** Levels that nobody else can see end with the process; there is nothing to make safe. */
  crashPlan(writes: readonly SafeWrite[]): CrashPlan | undefined {
    if (this.#record === undefined) return undefined;
    const plan: MockPlan = {
      record: this.#record,
      levels: writes.map(({ channel: { key }, value }) => ({ key, value })),
    };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  subscribe(channel: Channel, listener: ReadingListener): () => void {
    const subscription = { channel, listener };
    this.#subscriptions.add(subscription);
    queueMicrotask(() => {
      if (this.#subscriptions.has(subscription)) listener(this.#read(channel));
    });
    return () => {
      this.#subscriptions.delete(subscription);
    };
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the mock port is closed'));
  }

  #end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#unwatch();
    this.#subscriptions.clear();
    for (const reject of [...this.#pending]) reject(error);
  }

  #changed(key: string): void {
    for (const { channel, listener } of [...this.#subscriptions]) {
      if (key === '*' || key === channel.key) listener(this.#read(channel));
    }
  }

  #read(channel: Channel): Reading {
    const fault = this.#hardware.faultOf(channel.key);
    if (fault) return { ok: false, error: failure(channel, fault) };
    return {
      ok: true,
      value: this.#hardware.get(channel.key, channel.kind),
      sourceTime: this.#context.clock.unix(),
    };
  }

  /** Waits as the device would; rejects at once when the port ends meanwhile. */
  async #wait(silent: boolean): Promise<void> {
    if (this.#ended) throw this.#ended;
    const wait = silent ? this.#timeout : this.#latency;
    if (wait <= 0) return;
    await new Promise<void>((resolve, reject) => {
      this.#pending.add(reject);
      sleep(this.#context.clock, wait).then(() => {
        this.#pending.delete(reject);
        resolve();
      }, reject);
    });
  }
}

function failure(channel: Channel, fault: Fault): DcsError {
  return fault.kind === 'timeout'
    ? new DcsError('TIMEOUT', `${channel.key} did not answer`)
    : new DcsError('DEVICE_REFUSED', `${channel.key}: ${fault.message}`);
}
