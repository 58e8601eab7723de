import { z } from 'zod';
import type { Channel, Driver, Port, PortContext, Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { fitsKind, type PinKind, type RawValue } from '../../src/pin/pin.ts';
import { virtualPlacer } from './place.ts';

/** Kind of channel of each type of value. */
const kinds = { bool: 'digital', number: 'analog', text: 'text' } as const satisfies Record<string, PinKind>;

const pinSchema = z.strictObject({
  virtual: z.enum(['bool', 'number', 'text']).describe('a pin without hardware: the type of its value'),
});
type VirtualAddress = z.infer<typeof pinSchema>;

/**
 * Pins without hardware: values on the bus that any actor may set (VirtualIoActor of aktos-dcs v1). A channel has no address,
 * so each pin is a channel of its own.
 */
export const virtual: Driver<Record<string, never>, VirtualAddress> = {
  contract: 1,
  name: 'virtual',
  summary: 'pins without hardware: values on the bus that anyone may set',
  options: z.strictObject({}),
  pin: pinSchema,
  placer: virtualPlacer,
  hardware: 'none',
  describe: ({ virtual: type }) => ({ kind: kinds[type], directions: ['out'] }),
  async open(_options, channels, context) {
    return { kind: 'port', port: new VirtualPort(channels, context) };
  },
};

class VirtualPort implements Port {
  readonly #values = new Map<string, RawValue>();
  readonly #context: PortContext;
  #closed = false;

  constructor(channels: readonly Channel[], context: PortContext) {
    this.#context = context;
    for (const channel of channels) {
      const zero = channel.kind === 'digital' ? false : channel.kind === 'text' ? '' : 0;
      this.#values.set(channel.key, channel.openingValue ?? zero);
      context.changed(channel, this.#read(channel));
    }
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    this.#requireOpen();
    return channels.map((channel) => this.#read(channel));
  }

  async write(channel: Channel, value: RawValue): Promise<{ readBack: RawValue }> {
    this.#requireOpen();
    if (!fitsKind(channel.kind, value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} cannot hold ${JSON.stringify(value)}`, {
        found: value,
        expected: channel.kind,
      });
    }
    this.#values.set(channel.key, value);
    return { readBack: value };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #read(channel: Channel): Reading {
    const value = this.#values.get(channel.key);
    if (value !== undefined) return { ok: true, value, sourceTime: this.#context.clock.unix() };
    return { ok: false, error: new DcsError('NO_SUCH_CHANNEL', `there is no virtual channel ${channel.key}`) };
  }

  #requireOpen(): void {
    if (this.#closed) throw new DcsError('PORT_DOWN', 'the virtual port is closed');
  }
}
