import { useState } from 'preact/hooks';
import { readNumber } from '../format.ts';
import { command, control, live } from '../state/connection.ts';
import { isHeld } from '../state/output.ts';
import type { Pin } from '../state/pin-store.ts';

const lengths = [
  ['1 min', 60],
  ['10 min', 600],
  ['1 h', 3600],
  ['8 h', 28_800],
] as const;

/** Sets an output against everything on the bus, for a time; and gives it back. */
export function OverrideForm({ pin }: { pin: Pin }) {
  const { name, facts } = pin;
  const [seconds, setSeconds] = useState(600);
  const [text, setText] = useState('');
  const value = facts.kind === 'text' ? text : readNumber(text);
  const override = (val: boolean | number | string) => void command(name, val, { override: seconds });
  return (
    <fieldset class="override">
      <legend>Override</legend>
      {isHeld(pin, 'override') && (
        <button type="button" class="main" disabled={!live.value} onClick={() => void control(name, { override: 0 })}>
          End the override
        </button>
      )}
      {isHeld(pin, 'safe') && (
        <button type="button" disabled={!live.value} onClick={() => void control(name, { rearm: true })}>
          Rearm
        </button>
      )}
      <label>
        for{' '}
        <select value={seconds} onChange={({ currentTarget }) => setSeconds(Number(currentTarget.value))}>
          {lengths.map(([label, length]) => (
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
