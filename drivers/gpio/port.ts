import type { DurationMs, Timer } from '../../src/clock/clock.ts';
import type { CrashPlan, Port, PortContext, Reading, SafeWrite, WriteResult } from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { GpioBackend, GpioChannel } from './backend.ts';
import { bindChannels } from './bind-channels.ts';
import type { ChannelBinding, LineHandle } from './line-handle.ts';

/** Period of the check that chip and lines are still there: not every kernel reports it. */
const INSPECTION_MS: DurationMs = 1000;
/** Pause before a line that could not be requested is tried again; it doubles up to the longest. */
const FIRST_RETRY_MS: DurationMs = 500;
const LONGEST_RETRY_MS: DurationMs = 30_000;

/** One gpiochip over either kernel interface. Each of its lines fails and recovers by itself. */
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
    const { lines, bindings } = bindChannels(channels, {
      clock: context.clock,
      log: context.log,
      count: (name, by) => context.count(name, by),
      down: (error) => this.#goDown(error),
      changed: (channel, reading) => {
        if (!this.#ended) context.changed(channel, reading);
      },
      lineLost: (error) => this.#lineLost(error),
      drive: ({ line }, high) => void backend.write(new Map([[line, high]])),
    });
    this.#lines = lines;
    this.#bindings = bindings;
  }

  /** Requests the lines; those that fail are tried again later. Rejects when the chip is gone. */
  async start(): Promise<void> {
    await this.#requestLines();
    this.#scheduleInspection();
  }

  async read(channels: readonly GpioChannel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const readings = channels.map((channel) => this.#binding(channel).read());
    // An error may come from the line or from a chip that is gone: check which.
    if (readings.some(({ ok }) => !ok)) this.#checkChip();
    if (this.#ended) throw this.#ended;
    return readings;
  }

  async write(channel: GpioChannel, value: RawValue): Promise<WriteResult> {
    const binding = this.#binding(channel);
    if (binding.setDutyCycle && !this.#ended) {
      binding.setDutyCycle(value);
      return { readBack: value };
    }
    const [written] = await this.writeAll([{ channel, value }]);
    return written ?? {};
  }

  async writeAll(writes: readonly { channel: GpioChannel; value: RawValue }[]): Promise<WriteResult[]> {
    if (this.#ended) throw this.#ended;
    const outputs = writes.map(({ channel, value }) => {
      const handle = this.#binding(channel).outputLine();
      if (typeof value === 'boolean') return { handle, value };
      throw new DcsError('BAD_VALUE', `${channel.key} is on or off`, { found: value, expected: 'true or false' });
    });
    try {
      const levels = this.#backend.write(new Map(outputs.map(({ handle, value }) => [handle.line, value])));
      return outputs.map(({ handle, value }) => ({ readBack: levels.get(handle.line) ?? value }));
    } catch (thrown) {
      this.#checkChip();
      throw this.#ended ?? toDcsError(thrown);
    }
  }

  /** Software PWM can only be left on or off: a duty cycle needs this process. */
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
    const binding = this.#binding(channel);
    if (!binding.preset) throw new DcsError('READ_ONLY', `${channel.key} has no count to set`);
    binding.preset(value);
    return { readBack: value };
  }

  /** `pwm_late_max_ms`: the largest delay of an edge of software PWM. */
  metrics(): Readonly<Record<string, number>> {
    const late = [...this.#bindings.values()].flatMap(({ maxLateMs }) => maxLateMs ?? []);
    return late.length === 0 ? {} : { pwm_late_max_ms: Number(Math.max(...late).toFixed(3)) };
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the gpio port is closed'));
    await this.#backend.close();
  }

  #binding(channel: GpioChannel): ChannelBinding {
    const binding = this.#bindings.get(channel.key);
    if (binding) return binding;
    throw new DcsError('NO_SUCH_CHANNEL', `${channel.key} was not opened with this port`, { found: channel.key });
  }

  /** Requests every line that is not held. */
  async #requestLines(): Promise<void> {
    const missing = this.#lines.filter((line) => line.shouldRequest);
    if (missing.length > 0) {
      for (const line of missing) line.beforeRequest();
      const results = await this.#backend.requestLines(missing);
      if (this.#ended) {
        for (const result of results) if (result.ok) result.line.release();
        return;
      }
      missing.forEach((line, index) => {
        const result = results[index];
        if (result) line.accept(result, this.#context);
      });
    }
    this.#scheduleRetry();
  }

  #scheduleRetry(): void {
    if (this.#ended || this.#retry) return;
    if (!this.#lines.some((line) => line.shouldRequest)) {
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
    for (const binding of this.#bindings.values()) binding.close?.();
    for (const line of this.#lines) line.close();
  }
}
