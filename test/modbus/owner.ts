import type { ModbusAddress } from '../../drivers/modbus/address.ts';
import { modbus } from '../../drivers/modbus/driver.ts';
import { type Clock, systemClock } from '../../src/clock/clock.ts';
import type { Channel, Port, PortContext, Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';

export const silentLog = { debug() {}, info() {}, warn() {}, error() {} };

/** A channel of a Modbus port from the keys a user would write. */
export function channelOf(
  keys: Record<string, unknown>,
  extra: { direction?: 'in' | 'out'; start?: RawValue } = {},
): Channel<ModbusAddress> {
  const address = modbus.pin.parse(keys);
  const options = modbus.options.parse({ tcp: 'localhost' });
  const { key = '', kind } = modbus.describe(address, options);
  return {
    key,
    kind,
    direction: extra.direction ?? 'in',
    address,
    debounceMs: 0,
    ...(extra.start === undefined ? {} : { openingValue: extra.start }),
  };
}

/** Plays the part of the agent: opens the port, keeps the latest readings, reopens when the port goes down. */
export class Owner {
  readonly counters = new Map<string, number>();
  readonly readings = new Map<string, Reading[]>();
  readonly downs: { error: DcsError; at: number }[] = [];
  readonly clock: Clock;
  port: Port | undefined;
  opens = 0;
  #stopped = false;
  readonly #options: Record<string, unknown>;
  readonly #channels: readonly Channel<ModbusAddress>[];
  readonly #log: PortContext['log'];

  constructor(
    options: Record<string, unknown>,
    channels: readonly Channel<ModbusAddress>[],
    clock: Clock = systemClock,
    log: PortContext['log'] = silentLog,
  ) {
    this.#log = log;
    this.#options = options;
    this.#channels = channels;
    this.clock = clock;
  }

  /** Opens once; rejects when that fails. */
  async open(): Promise<Port> {
    const context: PortContext = {
      clock: this.clock,
      log: this.#log,
      changed: (channel, reading) => this.#note(channel, reading),
      down: (error) => {
        this.downs.push({ error, at: performance.now() });
        for (const channel of this.#channels) this.#note(channel, { ok: false, error });
        void this.#reopen();
      },
      count: (name, by = 1) => this.counters.set(name, (this.counters.get(name) ?? 0) + by),
    };
    const opened = await modbus.open(modbus.options.parse(this.#options), this.#channels, context);
    if (opened.kind === 'skipped') throw new DcsError('PORT_SKIPPED', opened.reason);
    this.port = opened.port;
    this.opens++;
    return opened.port;
  }

  last(channel: Channel): Reading | undefined {
    return this.readings.get(channel.key)?.at(-1);
  }

  /** The latest value; undefined while there is none or it is bad. */
  value(channel: Channel): RawValue | undefined {
    const reading = this.last(channel);
    return reading?.ok ? reading.value : undefined;
  }

  /** The code of the latest failure; undefined while the channel is good. */
  failure(channel: Channel): string | undefined {
    const reading = this.last(channel);
    return reading && !reading.ok ? reading.error.code : undefined;
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await this.port?.close();
  }

  async #reopen(): Promise<void> {
    await this.port?.close();
    for (let wait = 100; !this.#stopped; wait = Math.min(2 * wait, 3000)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      try {
        if (!this.#stopped) await this.open();
        return;
      } catch (error) {
        if (!(error instanceof DcsError)) throw error;
      }
    }
  }

  #note(channel: Pick<Channel, 'key'>, reading: Reading): void {
    const known = this.readings.get(channel.key);
    if (known) known.push(reading);
    else this.readings.set(channel.key, [reading]);
  }
}

/** Waits until `check` holds; fails after `limit` ms. Returns how long it took. */
export async function until(check: () => boolean, limit: number, what = 'the condition'): Promise<number> {
  const began = performance.now();
  while (!check()) {
    if (performance.now() - began > limit) throw new Error(`${what} did not come true within ${limit} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - began;
}
