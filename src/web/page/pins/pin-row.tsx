import { showAge, showTime, showValue } from '../format.ts';
import { now } from '../state/clock.ts';
import { type Pin, pinSignal, qualityOf, reasonOf } from '../state/pin-store.ts';
import { openPin } from '../state/place.ts';
import { Control } from './control.tsx';
import { HoldNote } from './hold-note.tsx';
import { Outcome } from './outcome.tsx';
import { Sparkline } from './sparkline.tsx';

/** One pin: what it is called, how it went, what it is now, and what can be asked of it. */
export function PinRow({ name }: { name: string }) {
  const pin = pinSignal(name).value;
  const { facts } = pin;
  return (
    <li class={`pin is-${qualityOf(pin)}`}>
      <div class="pin-name">
        <button type="button" class="plain" onClick={() => (openPin.value = name)}>
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
      <HoldNote pin={pin} />
      <Outcome name={name} />
    </li>
  );
}

/** `power` in the group `meter`. */
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

/** Since when the value stands. */
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
