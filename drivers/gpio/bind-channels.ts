import type { PortContext, Remark } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { channelKey, type EdgeKind } from './address.ts';
import type { GpioChannel } from './backend.ts';
import { type ChannelBinding, LevelBinding, LineHandle, RefusedBinding } from './line-handle.ts';
import { MeterBinding } from './meters.ts';
import { type DriveLine, SoftwarePwm } from './software-pwm.ts';

/** The lines a port needs and what stands behind each of its channels. */
export interface Bindings {
  readonly lines: readonly LineHandle[];
  readonly bindings: ReadonlyMap<string, ChannelBinding>;
}

/** One wire, as far as its channels agree about it. */
interface SharedLine {
  readonly channel: GpioChannel;
  readonly edges: Set<EdgeKind>;
  timed: boolean;
}

/** Gives every channel its endpoint; channels on one line share it, a channel that wants it otherwise is refused. */
export function bindChannels(
  channels: readonly GpioChannel[],
  context: PortContext,
  lost: (error: DcsError) => void,
  drive: DriveLine,
): Bindings {
  const wires = new Map<string, SharedLine>();
  const refused = new Map<string, DcsError>();
  for (const channel of channels) {
    const conflict = lineChannelsOf(channel)
      .map((line) => lineConflict(wires.get(line.key)?.channel, line))
      .find(Boolean);
    if (conflict) refused.set(channel.key, conflict);
    else for (const line of lineChannelsOf(channel)) addUse(wires, line, channel);
  }
  const slots = new Map<string, LineHandle>();
  for (const [key, { channel, edges, timed }] of wires) {
    const [only] = edges;
    slots.set(key, new LineHandle(channel, { edges: edges.size === 1 && only ? only : 'both', timed }, lost));
  }
  const endpoints = new Map<string, ChannelBinding>();
  for (const channel of channels)
    endpoints.set(channel.key, bindChannel(channel, slots, refused.get(channel.key), context, drive));
  return { lines: [...slots.values()], bindings: endpoints };
}

function bindChannel(
  channel: GpioChannel,
  slots: ReadonlyMap<string, LineHandle>,
  refusal: DcsError | undefined,
  context: PortContext,
  drive: DriveLine,
): ChannelBinding {
  if (refusal) return new RefusedBinding(refusal);
  const own = lineChannelsOf(channel).flatMap(({ key }) => slots.get(key) ?? []);
  const [first] = own;
  if (!first) return new RefusedBinding(new DcsError('INTERNAL', `${channel.key} has no line`));
  if (channel.address.pwm !== undefined) return new SoftwarePwm(channel, first, context, drive);
  return channel.kind === 'digital' ? new LevelBinding(first) : new MeterBinding(channel, own, context);
}

/** The lines of a channel, as channels that are just those lines. */
export function lineChannelsOf(channel: GpioChannel): GpioChannel[] {
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
export function lineConflict(held: GpioChannel | undefined, line: GpioChannel): DcsError | undefined {
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

function addUse(wires: Map<string, SharedLine>, line: GpioChannel, { address }: GpioChannel): void {
  const wire = wires.get(line.key) ?? { channel: line, edges: new Set(), timed: false };
  wires.set(line.key, wire);
  wire.edges.add(address.count ?? (address.measure === 'frequency' ? 'rising' : 'both'));
  if (address.measure !== undefined) wire.timed = true;
}

/** Pins that want one line in different ways: the later one could never work. */
export function reviewLines(channels: readonly GpioChannel[]): Remark[] {
  const held = new Map<string, { line: GpioChannel; by: GpioChannel }>();
  const remarks: Remark[] = [];
  for (const channel of channels) {
    for (const line of lineChannelsOf(channel)) {
      const first = held.get(line.key);
      const conflict = lineConflict(first?.line, line);
      if (!first) held.set(line.key, { line, by: channel });
      else if (conflict) {
        const { message, expected } = conflict;
        remarks.push({
          channel: channel.key,
          other: first.by.key,
          message,
          ...(expected && { expected }),
          fatal: true,
        });
      }
    }
  }
  return remarks;
}
