import { plural, showTime } from '../format.ts';
import { Icon } from '../icons.tsx';
import {
  clearLog,
  kinds,
  type LogLine,
  lines,
  MAX_LINES,
  matchesFilter,
  notShown,
  paused,
  searchText,
  setPaused,
} from '../state/message-log.ts';

/** Limit of rows: as many as a phone can render several times a second. */
const MAX_ROWS = 200;

const kindLabels = [
  ['report', 'reports'],
  ['command', 'commands'],
  ['refusal', 'refusals'],
  ['other', 'others'],
] as const;

/** The messages of the bus, the newest first. */
export function MessagesView() {
  const fitting = lines.value.filter(matchesFilter);
  const shown = fitting.slice(0, MAX_ROWS);
  const toggle = (kind: LogLine['kind']) => {
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
            value={searchText.value}
            onInput={({ currentTarget }) => (searchText.value = currentTarget.value)}
          />
        </label>
        <button type="button" aria-pressed={paused.value} onClick={() => setPaused(!paused.value)}>
          <Icon name={paused.value ? 'play' : 'pause'} /> {paused.value ? 'Resume' : 'Pause'}
        </button>
        <button type="button" onClick={clearLog}>
          Clear
        </button>
      </div>
      <fieldset class="chips">
        <legend class="unseen">Kinds of messages</legend>
        {kindLabels.map(([kind, label]) => (
          <label key={kind}>
            <input type="checkbox" checked={kinds.value.includes(kind)} onChange={() => toggle(kind)} />
            <span>{label}</span>
          </label>
        ))}
      </fieldset>
      <NotShownNote unshown={fitting.length - shown.length} />
      <section class="log" aria-label="Messages">
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
        {shown.length === 0 && <p class="nothing">No message matches.</p>}
      </section>
    </>
  );
}

/** Numbers of the messages that are not in the list, with the reasons. */
function NotShownNote({ unshown }: { unshown: number }) {
  const { paused: whilePaused, older, unfit } = notShown.value;
  const count = (number: number, what: string) => `${plural(number, 'message')} ${what}`;
  const parts = [
    ...(whilePaused > 0 ? [count(whilePaused, 'received while paused')] : []),
    ...(unfit > 0 ? [count(unfit, 'did not match')] : []),
    ...(unshown > 0 ? [count(unshown, 'further down')] : []),
    ...(older > 0 ? [count(older, `older than the last ${MAX_LINES}`)] : []),
  ];
  if (parts.length === 0 && !paused.value) return null;
  return (
    <p class="note left-out">
      {paused.value && <strong>Paused. </strong>}
      {parts.length > 0 && `Not shown: ${parts.join('; ')}.`}
    </p>
  );
}
