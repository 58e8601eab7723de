import { now } from '../state/clock.ts';
import { type Pin, series } from '../state/pin-store.ts';

const WIDTH = 120;
const HEIGHT = 28;
const EDGE = 3;
/** How far back it goes (s). */
const SPAN = 300;
const SHORTEST = 30;

/** How a pin changed in the last five minutes, without axes. */
export function Sparkline({ pin: { name, facts } }: { pin: Pin }) {
  if (facts.kind === 'text') return <span class="spark" />;
  const to = now.value;
  const known = series(name);
  // While little is known the line fills its place all the same.
  const span = Math.min(SPAN, Math.max(SHORTEST, to - (known.t[0] ?? to)));
  const { t, v } = known.window(to - span, to);
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path d={steps(t, v, to, span)} vector-effect="non-scaling-stroke" />
    </svg>
  );
}

/** A line that stands at each value until the next, with gaps where nobody knew. */
function steps(t: readonly number[], v: readonly (number | null)[], to: number, length: number): string {
  const known = v.filter((value) => value !== null);
  const low = Math.min(...known);
  const span = Math.max(...known) - low;
  const x = (time: number) => ((WIDTH * (time - to + length)) / length).toFixed(1);
  // A value that never changes is drawn where a level would be: off below, anything else in the middle.
  const flat = low === 0 ? 0 : 0.5;
  const y = (value: number) =>
    (HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (span === 0 ? flat : (value - low) / span)).toFixed(1);
  let path = '';
  let open = false;
  for (const [at, time] of t.entries()) {
    const value = v[at];
    if (open) path += `H${x(time)}`;
    if (value === null || value === undefined) {
      open = false;
      continue;
    }
    path += open ? `V${y(value)}` : `M${x(time)} ${y(value)}`;
    open = true;
  }
  return path;
}
