import { signal } from '@preact/signals';
import { showValue } from '../format.ts';
import { type Pin, pinList, pinSignal } from '../state/pin-store.ts';
import { chosen, placeOf } from '../state/place.ts';
import { TrendChart } from './trend-chart.tsx';

const span = signal(300);
const spans = [
  ['1 min', 60],
  ['5 min', 300],
  ['10 min', 600],
  ['1 h', 3600],
] as const;
/** Shown when none is chosen. */
const FIRST = 4;

/** Charts of the pins that were chosen, below each other with one time axis, as a strip recorder has them. */
export function TrendsView() {
  const pins = pinList.value.filter(({ facts }) => facts.kind !== 'text');
  const names = chosen.value.length > 0 ? chosen.value : first(pins);
  const toggle = (name: string) => {
    const next = names.includes(name) ? names.filter((one) => one !== name) : [...names, name];
    location.replace(placeOf('trends', next));
  };
  return (
    <>
      <div class="toolbar">
        <h2>Trends</h2>
        <fieldset class="segments">
          <legend class="unseen">How far back</legend>
          {spans.map(([label, seconds]) => (
            <label key={seconds}>
              <input
                type="radio"
                name="span"
                checked={span.value === seconds}
                onChange={() => (span.value = seconds)}
              />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
      </div>
      <fieldset class="chips">
        <legend class="unseen">Pins shown</legend>
        {pins.map(({ name }) => (
          <label key={name}>
            <input type="checkbox" checked={names.includes(name)} onChange={() => toggle(name)} />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      <div class="strips">
        {names
          .flatMap((name) => pins.find((pin) => pin.name === name) ?? [])
          .map((pin) => (
            <section key={pin.name} class="strip" aria-label={pin.name}>
              <h3>
                {pin.name} <ValueNow name={pin.name} />
              </h3>
              <TrendChart name={pin.name} span={span.value} height={pin.facts.kind === 'digital' ? 96 : 170} />
            </section>
          ))}
      </div>
    </>
  );
}

function ValueNow({ name }: { name: string }) {
  const pin = pinSignal(name).value;
  return (
    <span>
      {showValue(pin)} {pin.facts.uom}
    </span>
  );
}

/** Measured numbers first, then numbers that are set, then levels: the first are what a trend is for. */
function first(pins: readonly Pin[]): string[] {
  const rank = ({ facts }: Pin) => (facts.kind === 'digital' ? 2 : 0) + (facts.direction === 'out' ? 1 : 0);
  return [...pins]
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, FIRST)
    .map(({ name }) => name);
}
