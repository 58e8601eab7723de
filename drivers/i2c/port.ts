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
import { DcsError } from '../../src/errors/errors.ts';
import { fitsKind, type RawValue } from '../../src/pin/pin.ts';
import type { I2cAddress } from './address.ts';
import { BusOwner, type I2cBus } from './bus.ts';
import { BusChip, type ChipChannel } from './bus-chip.ts';
import type { I2cPlan } from './crash-plan.ts';
import type { Backend } from './open-bus.ts';

/** A port on an I2C bus: its chips fail and heal each for itself. */
export class I2cPort implements Port {
  readonly #owner: BusOwner;
  readonly #context: PortContext;
  readonly #backend: Backend;
  readonly #chips: readonly BusChip[];
  readonly #channels = new Map<string, { readonly unit: BusChip; readonly one: ChipChannel }>();
  #ended: DcsError | undefined;

  constructor(bus: I2cBus, channels: readonly Channel<I2cAddress>[], context: PortContext, backend: Backend = 'auto') {
    this.#backend = backend;
    const muxes = channels.flatMap(({ address: { mux } }) => mux?.address ?? []);
    this.#owner = new BusOwner(bus, muxes);
    this.#context = context;
    const groups = new Map<string, Channel<I2cAddress>[]>();
    for (const channel of channels) {
      const { address, mux, chip } = channel.address;
      const name = `${mux?.address}/${mux?.channel}/${address}/${chip?.name}`;
      groups.set(name, [...(groups.get(name) ?? []), channel]);
    }
    const life = {
      clock: context.clock,
      count: (name: string) => context.count(name),
      busGone: (error: DcsError) => {
        if (this.#ended) return;
        this.#close(error);
        context.down(error);
      },
    };
    this.#chips = [...groups.values()].map((members) => new BusChip(this.#owner, members, life));
    for (const unit of this.#chips) {
      for (const one of unit.channels) this.#channels.set(one.channel.key, { unit, one });
    }
  }

  /** Sets the chips up; resolves when the start values are out. Rejects with PORT_DOWN when the bus is gone already. */
  async begin(): Promise<void> {
    const { name } = this.#owner;
    for (const unit of this.#chips) {
      try {
        await unit.begin();
      } catch (error) {
        // A chip that is absent now is tried again when it is polled; the others must not wait for it.
        this.#context.log.warn({ bus: name, err: error }, `a chip on ${name} is not ready: ${error}`);
      }
      if (this.#ended) throw this.#ended;
      unit.startPolling();
    }
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const readings = new Map<string, Reading>();
    const keys = new Set(channels.map(({ key }) => key));
    const readUnit = async (unit: BusChip) => {
      const members = unit.channels.filter(({ channel }) => keys.has(channel.key));
      if (members.length === 0) return;
      const found = await unit.read(members);
      members.forEach(({ channel }, at) => {
        const reading = found[at];
        if (reading) readings.set(channel.key, reading);
      });
    };
    await Promise.all(this.#chips.map(readUnit));
    const ended: DcsError | undefined = this.#ended;
    if (ended) throw ended;
    return channels.map(
      ({ key }) =>
        readings.get(key) ?? {
          ok: false,
          error: new DcsError('NO_SUCH_CHANNEL', `${key} is not on ${this.#owner.name}`),
        },
    );
  }

  async write(channel: Channel, value: RawValue, options?: WriteOptions): Promise<WriteResult> {
    if (this.#ended) throw this.#ended;
    const place = this.#channels.get(channel.key);
    if (!place) throw new DcsError('NO_SUCH_CHANNEL', `${channel.key} is not on ${this.#owner.name}`);
    if (channel.direction !== 'out') throw new DcsError('READ_ONLY', `${channel.key} is an input`);
    if (!fitsKind(channel.kind, value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} cannot hold ${JSON.stringify(value)}`, {
        found: value,
        expected: channel.kind,
      });
    }
    const readBack = await place.unit.write(place.one.channel, value, options);
    return readBack === undefined ? {} : { readBack };
  }

  crashPlan(writes: readonly SafeWrite[]): CrashPlan {
    const plan: I2cPlan = {
      path: this.#owner.name,
      backend: this.#backend,
      // Inputs too: a chip without registers must not pull them low.
      channels: this.#chips.flatMap(({ channels }) =>
        channels.map(({ channel: { key, kind, direction, address, debounceMs } }) => {
          return { key, kind, direction, address, debounceMs };
        }),
      ),
      safe: new Map(writes.map(({ channel: { key }, value }) => [key, value])),
    };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  subscribe(channel: Channel, listener: ReadingListener): () => void {
    const one = this.#channels.get(channel.key)?.one;
    if (!one || this.#ended) return () => {};
    one.listeners.add(listener);
    const { last } = one;
    if (last) {
      queueMicrotask(() => {
        if (one.last === last && one.listeners.has(listener)) listener(last);
      });
    }
    return () => {
      one.listeners.delete(listener);
    };
  }

  async close(): Promise<void> {
    this.#close(new DcsError('PORT_DOWN', `${this.#owner.name} is closed`));
    await this.#owner.close();
  }

  #close(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    for (const unit of this.#chips) unit.close();
  }
}
