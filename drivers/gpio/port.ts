import type { DurationMs, Timer } from '../../src/clock/clock.ts';
import type {
  CrashPlan,
  Port,
  PortContext,
  Reading,
  ReadingListener,
  SafeWrite,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { GpioBackend, GpioChannel } from './backend.ts';
import { bindChannels } from './bind-channels.ts';
import type { ChannelBinding, LineHandle } from './line-handle.ts';

/** How often the port looks whether chip and lines are still there: not every kernel tells. */
const INSPECTION_MS: DurationMs = 1000;
/** Wait before a line that could not be taken is tried again; doubles up to the longest. */
const FIRST_RETRY_MS: DurationMs = 500;
const LONGEST_RETRY_MS: DurationMs = 30_000;

/** One gpiochip: its lines, each with its own fate, over either kernel interface. */
export class GpioPort implements Port {
  readonly debounces?: true;
  readonly #backend: GpioBackend;
  readonly #context: PortContext;
  readonly #channels: readonly GpioChannel[];
  readonly #lines: readonly LineHandle[];
  readonly #bindings: ReadonlyMap<string, ChannelBinding>;
  #check: Timer | undefined;
  #retry: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #ended: DcsError | undefined;

  constructor(backend: GpioBackend, channels: readonly GpioChannel[], context: PortContext) {
    this.#backend = backend;
    this.#context = context;
    this.#channels = channels;
    if (backend.debounces) this.debounces = true;
    const { lines: slots, bindings: endpoints } = bindChannels(
      channels,
      context,
      (error) => this.#lineLost(error),
      (slot, high) => this.#backend.write(new Map([[slot.line, high]])),
    );
    this.#lines = slots;
    this.#bindings = endpoints;
  }

  /** Takes the lines; those that cannot be had now are tried again later. Rejects when the chip is gone. */
  async start(): Promise<void> {
    await this.#requestLines();
    this.#scheduleInspection();
  }

  async read(channels: readonly GpioChannel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const readings = channels.map((channel) => this.#binding(channel).read());
    // A chip that went away answers every line with an error; one look tells that from a line's own trouble.
    if (readings.some(({ ok }) => !ok)) this.#checkChip();
    if (this.#ended) throw this.#ended;
    return readings;
  }

  async write(channel: GpioChannel, value: RawValue): Promise<WriteResult> {
    const endpoint = this.#binding(channel);
    if (endpoint.setDutyCycle && !this.#ended) {
      endpoint.setDutyCycle(value);
      return { readBack: value };
    }
    const [written] = await this.writeAll([{ channel, value }]);
    return written ?? {};
  }

  async writeAll(writes: readonly { channel: GpioChannel; value: RawValue }[]): Promise<WriteResult[]> {
    if (this.#ended) throw this.#ended;
    const outputs = writes.map(({ channel, value }) => {
      const slot = this.#binding(channel).outputLine();
      if (typeof value === 'boolean') return { slot, value };
      throw new DcsError('BAD_VALUE', `${channel.key} is on or off`, { found: value, expected: 'true or false' });
    });
    try {
      const levels = this.#backend.write(new Map(outputs.map(({ slot, value }) => [slot.line, value])));
      return outputs.map(({ slot, value }) => {
        const readBack = levels.get(slot.line) ?? value;
        slot.driven(readBack);
        return { readBack };
      });
    } catch (thrown) {
      this.#checkChip();
      throw this.#ended ?? toDcsError(thrown);
    }
  }

  /** A line that is switched by this process can be left on or off, not anything between. */
  crashPlan(writes: readonly SafeWrite[]): CrashPlan {
    const levels = writes.map(({ channel, value }) => {
      const own = this.#channels.find(({ key }) => key === channel.key);
      if (!own) throw new DcsError('NO_SUCH_CHANNEL', `${channel.key} was not opened with this port`);
      return { channel: own, high: value === true || value === 1 };
    });
    return { executor: siblingModule(import.meta.url, 'crash-plan'), ...this.#backend.crashPlan(levels) };
  }

  async float(channel: GpioChannel): Promise<void> {
    if (this.#ended) throw this.#ended;
    this.#binding(channel).outputLine().line.float();
  }

  async preset(channel: GpioChannel, value: RawValue): Promise<WriteResult> {
    if (this.#ended) throw this.#ended;
    const endpoint = this.#binding(channel);
    if (!endpoint.preset) throw new DcsError('READ_ONLY', `${channel.key} has no count to set`);
    endpoint.preset(value);
    return { readBack: value };
  }

  /** `pwm_late_max_ms`: how late the worst edge of a line was that this process switches on and off. */
  metrics(): Readonly<Record<string, number>> {
    const late = [...this.#bindings.values()].flatMap(({ maxLateMs: lateMs }) => lateMs ?? []);
    return late.length === 0 ? {} : { pwm_late_max_ms: Number(Math.max(...late).toFixed(3)) };
  }

  subscribe(channel: GpioChannel, listener: ReadingListener): () => void {
    if (this.#ended) return () => {};
    return this.#binding(channel).subscribe(listener);
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the gpio port is closed'));
    await this.#backend.close();
  }

  #binding(channel: GpioChannel): ChannelBinding {
    const endpoint = this.#bindings.get(channel.key);
    if (endpoint) return endpoint;
    throw new DcsError('NO_SUCH_CHANNEL', `${channel.key} was not opened with this port`, { found: channel.key });
  }

  /** Tries to take every line that is not held and may be had. */
  async #requestLines(): Promise<void> {
    const missing = this.#lines.filter((slot) => slot.shouldRequest);
    if (missing.length > 0) {
      for (const slot of missing) slot.beforeRequest();
      const taken = await this.#backend.requestLines(missing);
      if (this.#ended) {
        for (const one of taken) if (one.ok) one.line.release();
        return;
      }
      missing.forEach((slot, at) => {
        const one = taken[at];
        if (one) slot.accept(one, this.#context);
      });
    }
    this.#scheduleRetry();
  }

  #scheduleRetry(): void {
    if (this.#ended || this.#retry) return;
    if (!this.#lines.some((slot) => slot.shouldRequest)) {
      this.#retryMs = FIRST_RETRY_MS;
      return;
    }
    this.#retry = this.#context.clock.after(this.#retryMs, () => {
      this.#retry = undefined;
      this.#requestLines().catch((thrown: unknown) => this.#goDown(toDcsError(thrown)));
    });
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
  }

  #lineLost(error: DcsError): void {
    this.#checkChip();
    if (this.#ended) return;
    this.#context.log.warn({ err: error }, error.message);
    this.#scheduleRetry();
  }

  #scheduleInspection(): void {
    this.#check = this.#context.clock.after(INSPECTION_MS, () => {
      this.#checkChip();
      if (this.#ended) return;
      this.#backend.inspect();
      this.#scheduleInspection();
    });
  }

  #checkChip(): void {
    if (this.#ended) return;
    const gone = this.#backend.chipGone();
    if (gone) this.#goDown(gone);
  }

  #goDown(error: DcsError): void {
    if (this.#ended) return;
    this.#end(error);
    this.#context.down(error);
  }

  #end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#check?.cancel();
    this.#retry?.cancel();
    for (const endpoint of this.#bindings.values()) endpoint.close();
    for (const slot of this.#lines) slot.close();
  }
}
