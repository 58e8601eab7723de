import { showAge } from '../format.ts';
import { Icon } from '../icons.tsx';
import { now } from '../state/clock.ts';
import { type Hold, holdsOf } from '../state/output.ts';
import type { Pin } from '../state/pin-store.ts';

const looks = {
  override: { icon: 'hand', text: 'overridden' },
  safe: { icon: 'shield', text: 'safe state' },
  rule: { icon: 'lock', text: 'kept by a rule' },
} as const;

/** Says, where the output is, that something other than commands decides what it is. */
export function HoldNote({ pin }: { pin: Pin }) {
  return (
    <>
      {holdsOf(pin).map((hold) => (
        <Note key={hold.kind} hold={hold} />
      ))}
    </>
  );
}

function Note({ hold }: { hold: Hold }) {
  const { icon, text } = looks[hold.kind];
  return (
    <p class={`note is-${hold.kind}`}>
      <Icon name={icon} /> <strong>{text}</strong> {hold.why}
      {hold.until !== undefined && <span>, {showAge(Math.max(0, hold.until - now.value))} left</span>}
    </p>
  );
}
