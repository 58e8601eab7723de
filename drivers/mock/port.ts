import { type DurationMs, sleep } from '../../src/clock/clock.ts';
import type {
  Channel,
  CrashPlan,
  Port,
  PortContext,
  Reading,
  SafeWrite,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { fitsKind, type RawValue } from '../../src/pin/pin.ts';
import type { MockPlan } from './crash-plan.ts';
import type { Fault, MockDevice } from './device.ts';

/** A port on simulated hardware. It obeys the same contract as a port on real hardware. */
export class MockPort implements Port {
  readonly #hardware: MockDevice;
  readonly #context: PortContext;
  readonly #latency: DurationMs;
  readonly #timeout: DurationMs;
  readonly #record: string | undefined;
  readonly #channels: readonly Channel[];
  /** Rejects what is pending when the port ends. */
  readonly #pending = new Set<(error: DcsError) => void>();
  readonly #unwatch: () => void;
  /** Key of the channel that this port is writing: the result of the write tells its value. */
  #writing: string | undefined;
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
    this.#channels = channels;
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
    for (const channel of channels) context.changed(channel, this.#read(channel));
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
    this.#quietly(channel, () => this.#hardware.write(channel.key, value, this.#context.clock));
    return { readBack: this.#hardware.get(channel.key, channel.kind) };
  }

  /** The level stays until it is set, as on a wire without a load. */
  async float({ key }: Channel): Promise<void> {
    await this.#wait(false);
    this.#hardware.floating.add(key);
  }

  async preset(channel: Channel, value: RawValue): Promise<WriteResult> {
    await this.#wait(false);
    if (channel.kind !== 'counter') throw new DcsError('READ_ONLY', `${channel.key} has no count to set`);
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} counts in whole numbers`, { found: value });
    }
    this.#quietly(channel, () => this.#hardware.set(channel.key, value));
    return { readBack: value };
  }

  /** `undefined` without a record: the levels then end with this process, and there is nothing to make safe. */
  crashPlan(writes: readonly SafeWrite[]): CrashPlan | undefined {
    if (this.#record === undefined) return undefined;
    const plan: MockPlan = {
      record: this.#record,
      levels: writes.map(({ channel: { key }, value }) => ({ key, value })),
    };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the mock port is closed'));
  }

  #end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#unwatch();
    for (const reject of [...this.#pending]) reject(error);
  }

  #changed(key: string): void {
    for (const channel of this.#channels) {
      const affected = key === '*' || key === channel.key;
      if (affected && key !== this.#writing) this.#context.changed(channel, this.#read(channel));
    }
  }

  /** Sets a channel of the hardware without telling it: what is wired to the channel is told. */
  #quietly({ key }: Channel, set: () => void): void {
    this.#writing = key;
    try {
      set();
    } finally {
      this.#writing = undefined;
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

  /** Waits for the latency, or for the timeout when the channel does not answer. Rejects at once when the port ends. */
  async #wait(noAnswer: boolean): Promise<void> {
    if (this.#ended) throw this.#ended;
    const wait = noAnswer ? this.#timeout : this.#latency;
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
