import type { MonotonicMs } from '../../src/clock/clock.ts';
import type { PortContext } from '../../src/driver/contract.ts';
import type { Edge, GpioChannel } from './backend.ts';
import type { LineSlot } from './line-slot.ts';
import { EdgeCounter, FrequencyMeter, Quadrature, WidthMeter } from './meters.ts';

/** What is made of the edges of one or two lines. */
export interface Meter {
  /** Line 0 is the pin's own, line 1 an encoder's second. */
  edge(line: number, edge: Edge, now: MonotonicMs): void;
  /** Its lines are held, at these levels. `missed`: edges may have come that it did not see. */
  held(levels: readonly boolean[], missed: boolean): void;
  value(now: MonotonicMs): { readonly value: number; readonly doubt?: string };
  /** It changes by time alone: a frequency falls when nothing comes. */
  readonly fades?: true;
  /** It counts, so it can be set, and has a rate. */
  set?(value: number): void;
  /** Its value has been told; doubts about what lies before are over. */
  told?(): void;
}

/** The meter a channel's address asks for. */
export function makeMeter(
  { address, openingValue: start }: GpioChannel,
  slots: readonly LineSlot[],
  context: PortContext,
): Meter {
  const from = typeof start === 'number' ? start : 0;
  const watched = slots[0]?.edges ?? 'both';
  if (address.count !== undefined) return counter(new EdgeCounter(address.count, watched, from));
  if (address.encoder !== undefined) return encoder(from, context);
  if (address.measure === 'frequency') {
    let meter = new FrequencyMeter(watched);
    return {
      edge: (_line, edge, now) => meter.edge(edge, now),
      held() {
        meter = new FrequencyMeter(watched);
      },
      value: (now) => ({ value: meter.read(now) }),
      fades: true,
    };
  }
  const meter = new WidthMeter(address.measure === 'high-time');
  return {
    edge: (_line, edge) => meter.edge(edge),
    held: () => meter.interrupted(),
    value: () => (meter.seconds === undefined ? { value: 0, doubt: 'no pulse yet' } : { value: meter.seconds }),
  };
}

/** The kernel numbers edges, so those it dropped are counted too; that it had to drop some is worth knowing. */
function counter(edges: EdgeCounter): Meter {
  let overrun = 0;
  let resumed = false;
  const doubt = () => {
    if (overrun > 0) return `overrun: ${overrun} edges came too fast to be seen, and are counted unseen`;
    return resumed ? 'resumed: edges that came while nobody counted are missing' : undefined;
  };
  return {
    edge(_line, edge) {
      overrun += edge.lost;
      edges.edge(edge);
    },
    held(_levels, missed) {
      resumed = missed;
    },
    value: () => doubted(edges.value, doubt()),
    set(value) {
      overrun = 0;
      resumed = false;
      edges.value = value;
    },
    told() {
      overrun = 0;
      resumed = false;
    },
  };
}

function encoder(from: number, { count }: PortContext): Meter {
  const levels = [false, false];
  let position = new Quadrature(false, false, from);
  let unknown = 0;
  let resumed = false;
  // Until somebody who knows where it is says so.
  const doubt = () => {
    if (unknown > 0) return `overrun: the direction of ${unknown} steps is unknown; set the position`;
    return resumed ? 'resumed: it may have moved while nobody watched; set the position' : undefined;
  };
  return {
    edge(line, { rising, lost }) {
      levels[line] = rising;
      const before = position.errors;
      position.move(levels[0] ?? false, levels[1] ?? false);
      // A step that was lost cannot be made up for: nobody knows its direction.
      const more = position.errors - before + lost;
      if (more > 0) count('encoder_steps_lost', more);
      unknown += more;
    },
    held([a = false, b = false], missed) {
      levels[0] = a;
      levels[1] = b;
      position = new Quadrature(a, b, position.value);
      resumed ||= missed;
    },
    value: () => doubted(position.value, doubt()),
    set(value) {
      unknown = 0;
      resumed = false;
      position.value = value;
    },
  };
}

function doubted(value: number, doubt: string | undefined): { value: number; doubt?: string } {
  return doubt === undefined ? { value } : { value, doubt };
}
