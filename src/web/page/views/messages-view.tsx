import { signal } from '@preact/signals';
import { plural, showTime } from '../format.ts';
import { Icon } from '../icons.tsx';
import { clearLog, type Line, lines, paused, setPaused, unseen } from '../state/message-log.ts';

const wanted = signal('');
const kinds = signal<readonly Line['kind'][]>(['report', 'command', 'refusal', 'other']);
const all = [
  ['report', 'reports'],
  ['command', 'commands'],
  ['refusal', 'refusals'],
  ['other', 'others'],
] as const;

/** What passes on the bus, the newest first. */
export function MessagesView() {
  const shown = lines.value.filter(fits);
  const toggle = (kind: Line['kind']) => {
    kinds.value = kinds.value.includes(kind) ? kinds.value.filter((one) => one !== kind) : [...kinds.value, kind];
  };
  return (
    <>
      <div class="toolbar">
        <h2>Messages</h2>
        <label class="search">
          <Icon name="search" />
          <span class="unseen">Find messages</span>
          <input
            type="search"
            placeholder="Find"
            value={wanted.value}
            onInput={({ currentTarget }) => (wanted.value = currentTarget.value)}
          />
        </label>
        <button type="button" aria-pressed={paused.value} onClick={() => setPaused(!paused.value)}>
          <Icon name={paused.value ? 'play' : 'pause'} /> {paused.value ? 'Go on' : 'Pause'}
        </button>
        <button type="button" onClick={clearLog}>
          Clear
        </button>
      </div>
      <fieldset class="chips">
        <legend class="unseen">Kinds of messages</legend>
        {all.map(([kind, label]) => (
          <label key={kind}>
            <input type="checkbox" checked={kinds.value.includes(kind)} onChange={() => toggle(kind)} />
            <span>{label}</span>
          </label>
        ))}
      </fieldset>
      {paused.value && (
        <p class="note">Paused; {plural(unseen.value, 'message')} passed meanwhile and will not be shown.</p>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section class="log" tabIndex={0} aria-label="Messages">
        <table>
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col">Kind</th>
              <th scope="col">Pin</th>
              <th scope="col">What</th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(({ key, at, kind, about, text, sender }) => (
              <tr key={key} class={`is-${kind}`}>
                <td>{showTime(at)}</td>
                <td>{kind}</td>
                <td>{about}</td>
                <td>{text}</td>
                <td>{sender}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {shown.length === 0 && <p class="nothing">Nothing has passed that fits.</p>}
      </section>
    </>
  );
}

function fits({ kind, about, text }: Line): boolean {
  const part = wanted.value.trim().toLowerCase();
  return kinds.value.includes(kind) && (part === '' || `${about} ${text}`.toLowerCase().includes(part));
}
