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
import { DcsError } from '../../src/errors/errors.ts';
import { fitsKind, type RawValue } from '../../src/pin/pin.ts';
import type { I2cAddress } from './address.ts';
import { BusOwner, type I2cBus } from './bus.ts';
import { BusChip, type ChipChannel, type ChipContext, type ChipLimits } from './bus-chip.ts';
import type { I2cPlan } from './crash-plan.ts';
import type { Backend } from './open-bus.ts';

/** A port on an I2C bus. Each of its chips fails and recovers by itself. */
export class I2cPort implements Port {
  readonly #owner: BusOwner;
  readonly #context: PortContext;
  readonly #backend: Backend;
  readonly #chips: readonly BusChip[];
  readonly #channels = new Map<string, { readonly chip: BusChip; readonly member: ChipChannel }>();
  #ended: DcsError | undefined;

  constructor(
    bus: I2cBus,
    channels: readonly Channel<I2cAddress>[],
    context: PortContext,
    backend: Backend = 'auto',
    limits?: ChipLimits,
  ) {
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
    const down = (error: DcsError) => {
      if (this.#ended) return;
      this.#close(error);
      context.down(error);
    };
    const chipContext: ChipContext = {
      clock: context.clock,
      count: (name, by) => context.count(name, by),
      changed: (channel, reading) => context.changed(channel, reading),
      down,
    };
    this.#chips = [...groups.values()].map((members) => new BusChip(this.#owner, members, chipContext, limits));
    for (const chip of this.#chips) {
      for (const member of chip.channels) this.#channels.set(member.channel.key, { chip, member });
    }
  }

  /** Sets the chips up and drives the opening values. Rejects with PORT_DOWN when the bus is gone. */
  async begin(): Promise<void> {
    const { name } = this.#owner;
    for (const chip of this.#chips) {
      try {
        await chip.begin();
      } catch (error) {
        // The next poll tries a chip that is absent now; the other chips must not wait for it.
        this.#context.log.warn({ bus: name, err: error }, `a chip on ${name} is not ready: ${error}`);
      }
      if (this.#ended) throw this.#ended;
      chip.startPolling();
    }
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const readings = new Map<string, Reading>();
    const keys = new Set(channels.map(({ key }) => key));
    const readChip = async (chip: BusChip) => {
      const members = chip.channels.filter(({ channel }) => keys.has(channel.key));
      if (members.length === 0) return;
      const found = await chip.read(members);
      members.forEach(({ channel }, at) => {
        const reading = found[at];
        if (reading) readings.set(channel.key, reading);
      });
    };
    await Promise.all(this.#chips.map(readChip));
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
    const known = this.#channels.get(channel.key);
    if (!known) throw new DcsError('NO_SUCH_CHANNEL', `${channel.key} is not on ${this.#owner.name}`);
    if (channel.direction !== 'out') throw new DcsError('READ_ONLY', `${channel.key} is an input`);
    if (!fitsKind(channel.kind, value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} cannot hold ${JSON.stringify(value)}`, {
        found: value,
        expected: channel.kind,
      });
    }
    const readBack = await known.chip.write(known.member, value, options);
    return { ...(readBack !== undefined && { readBack }) };
  }

  resolution({ key }: Channel): number | undefined {
    const known = this.#channels.get(key);
    return known?.chip.resolutionOf(known.member.channel);
  }

  crashPlan(writes: readonly SafeWrite[]): CrashPlan {
    const plan: I2cPlan = {
      path: this.#owner.name,
      backend: this.#backend,
      // Inputs too: a chip without registers would pull them low.
      channels: this.#chips.flatMap(({ channels }) =>
        channels.map(({ channel: { key, kind, direction, address, debounceMs } }) => {
          return { key, kind, direction, address, debounceMs };
        }),
      ),
      safe: new Map(writes.map(({ channel: { key }, value }) => [key, value])),
    };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  async close(): Promise<void> {
    this.#close(new DcsError('PORT_DOWN', `${this.#owner.name} is closed`));
    await this.#owner.close();
  }

  #close(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    for (const chip of this.#chips) chip.close();
  }
}
