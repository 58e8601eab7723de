import type { GpioChannel, Wish } from './backend.ts';
import { flags, MAX_LINES } from './uapi.ts';

/** A wish whose line has been found. */
export interface Located {
  readonly wish: Wish;
  readonly offset: number;
  /** The wish's place in the list it came in. */
  readonly at: number;
}

/** Lines of equal settings, which share one request and so one descriptor. */
export interface RequestPlan {
  readonly lines: readonly Located[];
  readonly direction: 'in' | 'out';
  readonly flags: number;
  readonly debounceUs: number;
  /** Outputs: their level is to be kept, so it must be read before they are driven. */
  readonly keep: boolean;
  readonly bothEdges: boolean;
  /** Stamped by the monotonic clock. */
  readonly timed: boolean;
}

/** Puts lines of equal settings together, at most 64 a request. */
export function planRequests(lines: readonly Located[]): RequestPlan[] {
  const plans = new Map<string, Located[]>();
  for (const line of lines) {
    const { channel, timed } = line.wish;
    const key = [channel.direction, lineFlags(line.wish), debounceUs(channel), keeps(channel), timed].join('/');
    plans.set(key, [...(plans.get(key) ?? []), line]);
  }
  return [...plans.values()].flatMap((alike) => {
    const requests: RequestPlan[] = [];
    for (let from = 0; from < alike.length; from += MAX_LINES)
      requests.push(onePlan(alike.slice(from, from + MAX_LINES)));
    return requests;
  });
}

/** The same plan for some of its lines only. */
export function onePlan(lines: readonly Located[]): RequestPlan {
  const wish = lines[0]?.wish;
  const channel = wish?.channel;
  return {
    lines,
    direction: channel?.direction ?? 'in',
    flags: wish ? lineFlags(wish) : 0,
    debounceUs: channel ? debounceUs(channel) : 0,
    keep: channel ? keeps(channel) : false,
    bothEdges: wish?.edges === 'both',
    timed: wish?.timed ?? false,
  };
}

/** The place of a wish that is nobody's. */
export const NOBODY = -1;

/** In the place of a line that is held together with another one, and that nobody wants. */
export function unwanted(offset: number, { wish }: Located): Located {
  const { bias, drive } = wish.channel.address;
  const address = { gpio: offset, ...(bias && { bias }), ...(drive && { drive }) };
  const channel: GpioChannel = { key: `line ${offset}`, kind: 'digital', direction: 'out', address, debounceMs: 0 };
  return { wish: { channel, edges: 'both', timed: false, events: { level() {}, lost() {} } }, offset, at: NOBODY };
}

function keeps({ direction, openingValue: start }: GpioChannel): boolean {
  return direction === 'out' && start === undefined;
}

function debounceUs({ direction, debounceMs }: GpioChannel): number {
  return direction === 'in' ? Math.round(debounceMs * 1000) : 0;
}

const EDGES = {
  rising: flags.risingEdge,
  falling: flags.fallingEdge,
  both: flags.risingEdge | flags.fallingEdge,
} as const;

/** The kernel's flags of a line, without its clock. */
export function lineFlags({ channel, edges }: Pick<Wish, 'channel' | 'edges'>): number {
  const { direction } = channel;
  const { bias, drive } = channel.address;
  let bits: number = direction === 'in' ? flags.input | EDGES[edges] : flags.output;
  if (bias === 'pull-up') bits |= flags.pullUp;
  if (bias === 'pull-down') bits |= flags.pullDown;
  if (bias === 'off') bits |= flags.biasDisabled;
  if (direction === 'out' && drive === 'open-drain') bits |= flags.openDrain;
  if (direction === 'out' && drive === 'open-source') bits |= flags.openSource;
  return bits;
}
