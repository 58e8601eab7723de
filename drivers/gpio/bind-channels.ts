import type { PortContext, Remark } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { channelKey, type EdgeKind } from './address.ts';
import type { GpioChannel } from './backend.ts';
import { type ChannelBinding, LevelBinding, LineHandle, RefusedBinding, type TellReading } from './line-handle.ts';
import { MeterBinding } from './meters.ts';
import { SoftwarePwm } from './software-pwm.ts';

/** The lines a port requests, and what each of its channels makes of them. */
export interface Bindings {
  readonly lines: readonly LineHandle[];
  readonly bindings: ReadonlyMap<string, ChannelBinding>;
}

/** The environment that a port gives its bindings. */
export interface BindingContext extends PortContext {
  lineLost(error: DcsError): void;
  /** Drives a line. Throws a DcsError. */
  drive(line: LineHandle, high: boolean): void;
}

/** The uses of one line by its channels. */
interface SharedLine {
  readonly channel: GpioChannel;
  readonly edges: Set<EdgeKind>;
  timed: boolean;
}

/** Gives each channel its binding. Channels share a line when they want the same settings; the others are refused. */
export function bindChannels(channels: readonly GpioChannel[], context: BindingContext): Bindings {
  const uses = new Map<string, SharedLine>();
  const refused = new Map<string, DcsError>();
  for (const channel of channels) {
    const conflict = lineChannelsOf(channel)
      .map((line) => lineConflict(uses.get(line.key)?.channel, line))
      .find(Boolean);
    if (conflict) refused.set(channel.key, conflict);
    else for (const line of lineChannelsOf(channel)) addUse(uses, line, channel);
  }
  const lines = new Map<string, LineHandle>();
  for (const [key, { channel, edges, timed }] of uses) {
    const [only] = edges;
    const needs = { edges: edges.size === 1 && only ? only : 'both', timed };
    lines.set(key, new LineHandle(channel, needs, (error) => context.lineLost(error)));
  }
  const bindings = new Map<string, ChannelBinding>();
  for (const channel of channels)
    bindings.set(channel.key, bindChannel(channel, lines, refused.get(channel.key), context));
  return { lines: [...lines.values()], bindings };
}

function bindChannel(
  channel: GpioChannel,
  lines: ReadonlyMap<string, LineHandle>,
  refusal: DcsError | undefined,
  context: BindingContext,
): ChannelBinding {
  const tell: TellReading = (reading) => context.changed(channel, reading);
  if (refusal) return new RefusedBinding(refusal, tell);
  const own = lineChannelsOf(channel).flatMap(({ key }) => lines.get(key) ?? []);
  const [first] = own;
  if (!first) return new RefusedBinding(new DcsError('INTERNAL', `${channel.key} has no line`), tell);
  if (channel.address.pwm !== undefined) {
    return new SoftwarePwm(channel, first, context, (line, high) => context.drive(line, high), tell);
  }
  return channel.kind === 'digital' ? new LevelBinding(first, tell) : new MeterBinding(channel, own, context, tell);
}

/** The lines of a channel, each as the channel of its level. */
export function lineChannelsOf(channel: GpioChannel): GpioChannel[] {
  const { gpio, bias, drive, encoder } = channel.address;
  const wiring = { ...(bias !== undefined && { bias }), ...(drive !== undefined && { drive }) };
  const line = (name: number | string): GpioChannel => {
    const address = { gpio: name, ...wiring };
    const { openingValue, ...rest } = channel;
    // Software PWM begins with the line off. The opening value of a counter is a count, not a level.
    const level =
      channel.direction === 'in' ? undefined : typeof openingValue === 'number' ? openingValue === 1 : openingValue;
    const base = { ...rest, key: channelKey(address), kind: 'digital', address } as const;
    return level === undefined ? base : { ...base, openingValue: level };
  };
  return encoder === undefined ? [line(gpio)] : [line(gpio), line(encoder)];
}

/** Why a channel cannot share a line that another channel uses; `undefined` when it can: two inputs of equal settings. */
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

function addUse(uses: Map<string, SharedLine>, line: GpioChannel, { address }: GpioChannel): void {
  const use = uses.get(line.key) ?? { channel: line, edges: new Set(), timed: false };
  uses.set(line.key, use);
  use.edges.add(address.count ?? (address.measure === 'frequency' ? 'rising' : 'both'));
  if (address.measure !== undefined) use.timed = true;
}

/** Pins that want one line with different settings: the later one could never work. */
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
