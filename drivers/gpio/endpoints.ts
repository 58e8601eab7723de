import type { PortContext } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { channelKey, type EdgeKind } from './address.ts';
import type { GpioChannel } from './backend.ts';
import { type Endpoint, LevelChannel, RefusedChannel } from './endpoint.ts';
import { LineSlot } from './line-slot.ts';
import { MeterChannel } from './meter-channel.ts';
import { type Drive, PwmChannel } from './pwm-channel.ts';

/** The lines a port needs and what stands behind each of its channels. */
export interface Wiring {
  readonly slots: readonly LineSlot[];
  readonly endpoints: ReadonlyMap<string, Endpoint>;
}

/** One wire, as far as its channels agree about it. */
interface Wire {
  readonly channel: GpioChannel;
  readonly edges: Set<EdgeKind>;
  timed: boolean;
}

/** Gives every channel its endpoint; channels on one line share it, a channel that wants it otherwise is refused. */
export function wire(
  channels: readonly GpioChannel[],
  context: PortContext,
  lost: (error: DcsError) => void,
  drive: Drive,
): Wiring {
  const wires = new Map<string, Wire>();
  const refused = new Map<string, DcsError>();
  for (const channel of channels) {
    const conflict = linesOf(channel)
      .map((line) => conflictOn(wires.get(line.key)?.channel, line))
      .find(Boolean);
    if (conflict) refused.set(channel.key, conflict);
    else for (const line of linesOf(channel)) join(wires, line, channel);
  }
  const slots = new Map<string, LineSlot>();
  for (const [key, { channel, edges, timed }] of wires) {
    const [only] = edges;
    slots.set(key, new LineSlot(channel, { edges: edges.size === 1 && only ? only : 'both', timed }, lost));
  }
  const endpoints = new Map<string, Endpoint>();
  for (const channel of channels)
    endpoints.set(channel.key, endpointOf(channel, slots, refused.get(channel.key), context, drive));
  return { slots: [...slots.values()], endpoints };
}

function endpointOf(
  channel: GpioChannel,
  slots: ReadonlyMap<string, LineSlot>,
  refusal: DcsError | undefined,
  context: PortContext,
  drive: Drive,
): Endpoint {
  if (refusal) return new RefusedChannel(refusal);
  const own = linesOf(channel).flatMap(({ key }) => slots.get(key) ?? []);
  const [first] = own;
  if (!first) return new RefusedChannel(new DcsError('INTERNAL', `${channel.key} has no line`));
  if (channel.address.pwm !== undefined) return new PwmChannel(channel, first, context, drive);
  return channel.kind === 'digital' ? new LevelChannel(first) : new MeterChannel(channel, own, context);
}

/** The lines of a channel, as channels that are just those lines. */
export function linesOf(channel: GpioChannel): GpioChannel[] {
  const { gpio, bias, drive, encoder } = channel.address;
  const wiring = { ...(bias !== undefined && { bias }), ...(drive !== undefined && { drive }) };
  const line = (name: number | string): GpioChannel => {
    const address = { gpio: name, ...wiring };
    const { openingValue: start, ...rest } = channel;
    // A line that is switched begins off; what counts has no level to begin with.
    const level = channel.direction === 'in' ? undefined : typeof start === 'number' ? start === 1 : start;
    const base = { ...rest, key: channelKey(address), kind: 'digital', address } as const;
    return level === undefined ? base : { ...base, openingValue: level };
  };
  return encoder === undefined ? [line(gpio)] : [line(gpio), line(encoder)];
}

/** Why a line cannot be had as one channel wants it, when another has it already. Inputs of equal settings share it. */
export function conflictOn(held: GpioChannel | undefined, line: GpioChannel): DcsError | undefined {
  if (!held) return undefined;
  const settings = ({ direction, debounceMs, address: { bias, drive } }: GpioChannel) =>
    [direction, `debounce ${debounceMs} ms`, `bias ${bias ?? 'unset'}`, `drive ${drive ?? 'unset'}`].join(', ');
  const [wanted, present] = [settings(line), settings(held)];
  if (wanted === present && line.direction === 'in') return undefined;
  const bothOut = line.direction === 'out' && held.direction === 'out';
  return new DcsError('BAD_CONFIG', `${line.key} is used by another pin ${bothOut ? 'too' : 'in another way'}`, {
    found: wanted,
    expected: bothOut ? 'one pin that drives it' : present,
  });
}

function join(wires: Map<string, Wire>, line: GpioChannel, { address }: GpioChannel): void {
  const wire = wires.get(line.key) ?? { channel: line, edges: new Set(), timed: false };
  wires.set(line.key, wire);
  wire.edges.add(address.count ?? (address.measure === 'frequency' ? 'rising' : 'both'));
  if (address.measure !== undefined) wire.timed = true;
}
