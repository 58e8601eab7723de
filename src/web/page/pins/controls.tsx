import { useState } from 'preact/hooks';
import { readNumber } from '../format.ts';
import { command, control, live } from '../state/connection.ts';
import { commandSignal, isRestricted, type Pin } from '../state/pins.ts';
import { mayOperate } from '../state/session.ts';

/** The control of an output. It shows the reported value, never a value that is only requested. */
export function Control({ pin }: { pin: Pin }) {
  const { facts } = pin;
  if (facts.direction !== 'out' || !mayOperate()) return null;
  if (facts.kind === 'digital') return <Switch pin={pin} />;
  if (facts.kind === 'text') return <TextField pin={pin} />;
  return facts.range ? <Slider pin={pin} range={facts.range} /> : <NumberField pin={pin} />;
}

function Switch({ pin: { name, report, nodeLeft } }: { pin: Pin }) {
  const on = report?.['val'] === true;
  const asked = commandSignal(name).value?.state === 'asked';
  return (
    <button
      type="button"
      role="switch"
      class={`switch ${asked ? 'is-asked' : ''}`}
      aria-checked={on}
      aria-label={name}
      aria-busy={asked}
      disabled={!live.value || nodeLeft}
      onClick={() => void command(name, !on)}
    >
      <span class="knob" />
    </button>
  );
}

function Slider({ pin: { name, report, nodeLeft, facts }, range }: { pin: Pin; range: readonly [number, number] }) {
  const [draft, setDraft] = useState<number | undefined>(undefined);
  const val = report?.['val'];
  const shown = draft ?? (typeof val === 'number' ? val : range[0]);
  const step = niceStep(range);
  const send = (value: number) => {
    setDraft(undefined);
    void command(name, value);
  };
  return (
    <div class="slider">
      <input
        type="range"
        min={range[0]}
        max={range[1]}
        step={step}
        value={shown}
        aria-label={name}
        aria-valuetext={`${shown} ${facts.uom ?? ''}`}
        disabled={!live.value || nodeLeft}
        onInput={({ currentTarget }) => setDraft(currentTarget.valueAsNumber)}
        onChange={({ currentTarget }) => send(currentTarget.valueAsNumber)}
      />
      {draft !== undefined && <span class="draft">{draft}</span>}
    </div>
  );
}

export function NumberField({ pin: { name, nodeLeft, facts } }: { pin: Pin }) {
  const [text, setText] = useState('');
  const value = readNumber(text);
  const submit = (event: Event) => {
    event.preventDefault();
    if (value === undefined) return;
    setText('');
    void command(name, value);
  };
  return (
    <form class="field" onSubmit={submit}>
      <input
        inputMode="decimal"
        value={text}
        placeholder={facts.range ? `${facts.range[0]}–${facts.range[1]}` : 'new'}
        aria-label={`new value of ${name}`}
        aria-invalid={text !== '' && value === undefined}
        disabled={!live.value || nodeLeft}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
      />
      <button type="submit" disabled={!live.value || nodeLeft || value === undefined}>
        Set
      </button>
    </form>
  );
}

function TextField({ pin: { name, nodeLeft } }: { pin: Pin }) {
  const [text, setText] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    setText('');
    void command(name, text);
  };
  return (
    <form class="field is-text" onSubmit={submit}>
      <input
        value={text}
        placeholder="new"
        aria-label={`new text of ${name}`}
        disabled={!live.value || nodeLeft}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
      />
      <button type="submit" disabled={!live.value || nodeLeft}>
        Set
      </button>
    </form>
  );
}

/** Returns a step of 1, 2 or 5 × 10ⁿ that gives at most 200 steps over the range. */
function niceStep([low, high]: readonly [number, number]): number {
  const rough = Math.abs(high - low) / 200;
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  return [1, 2, 5, 10].map((one) => one * power).find((step) => step >= rough) ?? power;
}

const durations = [
  ['1 min', 60],
  ['10 min', 600],
  ['1 h', 3600],
  ['8 h', 28_800],
] as const;

/** Starts and ends an override of an output, and rearms it. */
export function OverrideForm({ pin }: { pin: Pin }) {
  const { name, facts } = pin;
  const [seconds, setSeconds] = useState(600);
  const [text, setText] = useState('');
  const value = facts.kind === 'text' ? text : readNumber(text);
  const override = (val: boolean | number | string) => void command(name, val, { override: seconds });
  return (
    <fieldset class="override">
      <legend>Override</legend>
      {isRestricted(pin, 'override') && (
        <button type="button" class="main" disabled={!live.value} onClick={() => void control(name, { override: 0 })}>
          End the override
        </button>
      )}
      {isRestricted(pin, 'safe') && (
        <button type="button" disabled={!live.value} onClick={() => void control(name, { rearm: true })}>
          Rearm
        </button>
      )}
      <label>
        for{' '}
        <select value={seconds} onChange={({ currentTarget }) => setSeconds(Number(currentTarget.value))}>
          {durations.map(([label, length]) => (
            <option key={label} value={length}>
              {label}
            </option>
          ))}
        </select>
      </label>
      {facts.kind === 'digital' ? (
        <>
          <button type="button" disabled={!live.value} onClick={() => override(true)}>
            On
          </button>
          <button type="button" disabled={!live.value} onClick={() => override(false)}>
            Off
          </button>
        </>
      ) : (
        <>
          <input
            value={text}
            inputMode={facts.kind === 'text' ? 'text' : 'decimal'}
            aria-label={`overriding value of ${name}`}
            aria-invalid={text !== '' && value === undefined}
            onInput={({ currentTarget }) => setText(currentTarget.value)}
          />
          <button
            type="button"
            disabled={!live.value || value === undefined}
            onClick={() => value !== undefined && override(value)}
          >
            Override
          </button>
        </>
      )}
    </fieldset>
  );
}
