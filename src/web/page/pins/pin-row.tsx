import { showAge, showTime, showValue } from '../format.ts';
import { Icon } from '../icons.tsx';
import { now } from '../state/clock.ts';
import { dialogPin } from '../state/navigation.ts';
import {
  commandSignal,
  type OutputRestriction,
  type Pin,
  pinSignal,
  qualityOf,
  reasonOf,
  restrictionsOf,
  series,
} from '../state/pins.ts';
import { Control } from './controls.tsx';

/** One pin: name, sparkline, value, age, control and notes. */
export function PinRow({ name }: { name: string }) {
  const pin = pinSignal(name).value;
  const { facts } = pin;
  return (
    <li class={`pin is-${qualityOf(pin)}`}>
      <div class="pin-name">
        <button type="button" class="plain" onClick={() => (dialogPin.value = name)}>
          {shortName(pin)}
        </button>
        {facts.label !== undefined && <small>{facts.label}</small>}
      </div>
      <Sparkline pin={pin} />
      <Value pin={pin} />
      <Age pin={pin} />
      <div class="pin-control">
        <Control pin={pin} />
      </div>
      <QualityNote pin={pin} />
      <RestrictionNotes pin={pin} />
      <CommandResult name={name} />
    </li>
  );
}

/** Returns the name within the group: `power` for `meter.power`. */
function shortName({ name }: Pin): string {
  const dot = name.indexOf('.');
  return dot > 0 ? name.slice(dot + 1) : name;
}

export function Value({ pin }: { pin: Pin }) {
  const { facts, report } = pin;
  const val = report?.['val'];
  const kind = typeof val === 'boolean' ? (val ? 'level on' : 'level off') : '';
  return (
    <output class={`pin-value ${kind}`}>
      <span class="number">{showValue(pin)}</span>
      {facts.uom !== undefined && <span class="unit">{facts.uom}</span>}
    </output>
  );
}

/** Time since the last change of the value. */
function Age({ pin: { report } }: { pin: Pin }) {
  const changed = report?.['last_change'];
  if (typeof changed !== 'number' || changed === 0) return <span class="pin-age" />;
  return (
    <time class="pin-age" dateTime={new Date(changed * 1000).toISOString()} title={`since ${showTime(changed)}`}>
      {showAge(now.value - changed)}
    </time>
  );
}

export function QualityNote({ pin }: { pin: Pin }) {
  const quality = qualityOf(pin);
  if (quality === 'good' || quality === 'unknown') return null;
  return (
    <p class={`note is-${quality}`}>
      <strong>{quality}</strong> {reasonOf(pin)}
    </p>
  );
}

const restrictionLooks = {
  override: { icon: 'hand', text: 'overridden' },
  safe: { icon: 'shield', text: 'safe state' },
  rule: { icon: 'lock', text: 'kept by a rule' },
} as const;

/** Notes why an output does not follow its commands. */
export function RestrictionNotes({ pin }: { pin: Pin }) {
  return (
    <>
      {restrictionsOf(pin).map((hold) => (
        <RestrictionNote key={hold.kind} hold={hold} />
      ))}
    </>
  );
}

function RestrictionNote({ hold }: { hold: OutputRestriction }) {
  const { icon, text } = restrictionLooks[hold.kind];
  return (
    <p class={`note is-${hold.kind}`}>
      <Icon name={icon} /> <strong>{text}</strong> {hold.why}
      {hold.until !== undefined && <span>, {showAge(Math.max(0, hold.until - now.value))} left</span>}
    </p>
  );
}

/** The result of the last command: sent, confirmed by the pin, or failed with the reason. */
export function CommandResult({ name }: { name: string }) {
  const shown = commandSignal(name);
  const command = shown.value;
  return (
    <div class="outcome" role="status">
      {command?.state === 'asked' && (
        <p class="note is-asked">
          <span class="spinner" aria-hidden="true" /> asked for {String(command.val)}…
        </p>
      )}
      {command?.state === 'confirmed' && (
        <p class="note is-confirmed">
          <Icon name="check" /> confirmed
        </p>
      )}
      {command?.state === 'failed' && (
        <p class="note is-failed">
          <strong>not done</strong> {command.message}
          <button type="button" class="quiet" aria-label="Dismiss" onClick={() => (shown.value = undefined)}>
            <Icon name="close" />
          </button>
        </p>
      )}
    </div>
  );
}

const WIDTH = 120;
const HEIGHT = 28;
const MARGIN = 3;
/** Time shown (s). */
const SPAN_S = 300;
const MIN_SPAN_S = 30;

/** The values of the last five minutes as a line without axes. */
function Sparkline({ pin: { name, facts } }: { pin: Pin }) {
  if (facts.kind === 'text') return <span class="spark" />;
  const to = now.value;
  const known = series(name);
  // A short history fills the whole width.
  const span = Math.min(SPAN_S, Math.max(MIN_SPAN_S, to - (known.t[0] ?? to)));
  const { t, v } = known.window(to - span, to);
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path d={steppedPath(t, v, to, span)} vector-effect="non-scaling-stroke" />
    </svg>
  );
}

/** Returns the SVG path of a stepped line, with gaps where the value was unknown. */
function steppedPath(t: readonly number[], v: readonly (number | null)[], to: number, length: number): string {
  const known = v.filter((value) => value !== null);
  const low = Math.min(...known);
  const span = Math.max(...known) - low;
  const x = (time: number) => ((WIDTH * (time - to + length)) / length).toFixed(1);
  // A constant 0 (off) is drawn at the bottom, any other constant in the middle.
  const flat = low === 0 ? 0 : 0.5;
  const y = (value: number) =>
    (HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (span === 0 ? flat : (value - low) / span)).toFixed(1);
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
