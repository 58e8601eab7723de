import { useEffect, useRef } from 'preact/hooks';
import { showTime } from '../format.ts';
import { Icon } from '../icons.tsx';
import { command, live } from '../state/connection.ts';
import { dialogPin, hashOf } from '../state/navigation.ts';
import {
  canOverride,
  commandOf,
  desiredValueOf,
  type Pin,
  pinSignal,
  qualityOf,
  restrictionsOf,
} from '../state/pins.ts';
import { mayOperate } from '../state/session.ts';
import { TrendChart } from '../views/trends-view.tsx';
import { Control, NumberField, OverrideForm } from './controls.tsx';
import { CommandResult, QualityNote, RestrictionNotes, Value } from './pin-row.tsx';

/** All details of one pin. */
export function PinDialog() {
  const name = dialogPin.value;
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (name !== undefined && !dialog.current?.open) dialog.current?.showModal();
    if (name === undefined) dialog.current?.close();
  }, [name]);
  return (
    <dialog
      ref={dialog}
      class="pin-dialog"
      aria-labelledby="dialog-title"
      onClose={() => (dialogPin.value = undefined)}
    >
      {name !== undefined && <DialogContent pin={pinSignal(name).value} />}
    </dialog>
  );
}

function DialogContent({ pin }: { pin: Pin }) {
  const { name, facts } = pin;
  const output = facts.direction === 'out' && mayOperate();
  return (
    <>
      <header>
        <div>
          <h2 id="dialog-title">{name}</h2>
          {facts.label !== undefined && <small>{facts.label}</small>}
        </div>
        <button type="button" class="quiet" aria-label="Close" onClick={() => (dialogPin.value = undefined)}>
          <Icon name="close" />
        </button>
      </header>
      <div class={`now is-${qualityOf(pin)}`}>
        <Value pin={pin} />
        <Control pin={pin} />
        {output && facts.kind !== 'digital' && facts.kind !== 'text' && facts.range && <NumberField pin={pin} />}
      </div>
      <QualityNote pin={pin} />
      <RestrictionNotes pin={pin} />
      <CommandResult name={name} />
      {facts.kind !== 'text' && <TrendChart name={name} span={600} height={150} />}
      {output && facts.kind === 'digital' && <PulseButtons name={name} />}
      {output && canOverride(pin) && <OverrideForm pin={pin} />}
      <PinFactList pin={pin} />
      <a class="more" href={hashOf('trends', [name])} onClick={() => (dialogPin.value = undefined)}>
        Trend of this pin
      </a>
    </>
  );
}

/** Buttons that switch a digital output on for a moment, like a push button. */
function PulseButtons({ name }: { name: string }) {
  return (
    <fieldset class="pulses">
      <legend>On for a moment</legend>
      {[0.5, 2, 10].map((seconds) => (
        <button
          key={seconds}
          type="button"
          disabled={!live.value}
          onClick={() => void command(name, true, { pulse: seconds })}
        >
          {seconds} s
        </button>
      ))}
    </fieldset>
  );
}

function PinFactList({ pin }: { pin: Pin }) {
  const { facts, report, node } = pin;
  const time = (unix: unknown) => (typeof unix === 'number' && unix > 0 ? showTime(unix) : undefined);
  const rows: [string, unknown][] = [
    ['Kind', [facts.kind, facts.direction === 'out' ? 'output' : 'input'].filter(Boolean).join(' ')],
    ['Node', node],
    ['Port', facts.port],
    ['Quality', qualityOf(pin)],
    ['Last change', time(report?.['last_change'])],
    ['Hardware time stamp', time(report?.['source_time'])],
    ['Rate', report?.['rate'] === undefined ? undefined : `${report['rate']} /s`],
    ['Range', facts.range?.join(' to ')],
    ['Safe value', facts.safe],
    ['Last command', commandOf(pin)],
    ['Desired value', restrictionsOf(pin).length > 0 ? desiredValueOf(pin) : undefined],
  ];
  return (
    <dl class="facts">
      {rows.map(([name, value]) =>
        value === undefined || value === '' ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value === true ? 'on' : value === false ? 'off' : String(value)}</dd>
          </div>
        ),
      )}
    </dl>
  );
}
