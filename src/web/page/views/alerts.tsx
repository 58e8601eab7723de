import { plural } from '../format.ts';
import { Icon } from '../icons.tsx';
import { dialogPin } from '../state/navigation.ts';
import { allPins, isRestricted, type OutputRestriction, type Pin, qualityOf } from '../state/pins.ts';

/** Limit of names listed. */
const MAX_NAMES = 4;

/** Alerts on every view: overrides, safe states, rules, bad and uncertain pins. */
export function Alerts() {
  const pins = allPins();
  const held = (kind: OutputRestriction['kind']) => pins.filter((pin) => isRestricted(pin, kind));
  return (
    <div class="alerts">
      <Alert icon="hand" kind="override" what={(n) => `${plural(n, 'output')} overridden`} pins={held('override')} />
      <Alert icon="shield" kind="safe" what={(n) => `${plural(n, 'output')} in safe state`} pins={held('safe')} />
      <Alert icon="lock" kind="rule" what={(n) => `${plural(n, 'output')} kept off by a rule`} pins={held('rule')} />
      <Alert
        icon="warning"
        kind="bad"
        what={(n) => `${plural(n, 'pin')} bad`}
        pins={pins.filter((pin) => qualityOf(pin) === 'bad')}
      />
      <Alert
        icon="warning"
        kind="uncertain"
        what={(n) => `${plural(n, 'pin')} uncertain`}
        pins={pins.filter((pin) => qualityOf(pin) === 'uncertain')}
      />
    </div>
  );
}

interface AlertProps {
  readonly icon: Parameters<typeof Icon>[0]['name'];
  readonly kind: string;
  readonly what: (count: number) => string;
  readonly pins: readonly Pin[];
}

function Alert({ icon, kind, what, pins }: AlertProps) {
  if (pins.length === 0) return null;
  return (
    <section class={`alert is-${kind}`} aria-label={what(pins.length)}>
      <Icon name={icon} />
      <strong>{what(pins.length)}</strong>
      {pins.slice(0, MAX_NAMES).map(({ name }) => (
        <button key={name} type="button" class="link" onClick={() => (dialogPin.value = name)}>
          {name}
        </button>
      ))}
      {pins.length > MAX_NAMES && <span>and {pins.length - MAX_NAMES} more</span>}
    </section>
  );
}
