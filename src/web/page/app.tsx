import { plural, showTime } from './format.ts';
import { Icon } from './icons.tsx';
import { PinDialog } from './pins/pin-dialog.tsx';
import { live, missed, offlineSince } from './state/connection.ts';
import { allPins, pinNames } from './state/pin-store.ts';
import { placeOf, type View, view, views } from './state/place.ts';
import { logOut, session, trouble } from './state/session.ts';
import { Alerts } from './views/alerts.tsx';
import { BoardView } from './views/board-view.tsx';
import { Login } from './views/login.tsx';
import { MessagesView } from './views/messages-view.tsx';
import { PinsView } from './views/pins-view.tsx';
import { SystemView } from './views/system-view.tsx';
import { TrendsView } from './views/trends-view.tsx';

const titles: Readonly<Record<View, string>> = {
  pins: 'Pins',
  trends: 'Trends',
  messages: 'Messages',
  system: 'System',
  board: 'Board',
};

export function App() {
  const who = session.value;
  if (who === undefined) return <p class="waiting">{trouble.value === '' ? 'Connecting…' : trouble.value}</p>;
  if (who.role === null) return <Login node={who.node} />;
  return (
    <div class={live.value ? '' : 'stale'}>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="top">
        <h1>{who.node}</h1>
        <Connection />
        <Simulated />
        <Navigation />
        <User />
      </header>
      <main id="content" tabIndex={-1}>
        <Offline />
        <Alerts />
        <Current />
      </main>
      <PinDialog />
    </div>
  );
}

/** Nobody may take what is shown for what is. */
function Offline() {
  const since = offlineSince.value;
  if (live.value || since === undefined) return null;
  return (
    <section class="alert is-offline" role="alert">
      <Icon name="warning" />
      <strong>No connection since {showTime(since).slice(0, 8)}</strong>
      <span>What is shown is what was last known. Nothing can be commanded. Trying again…</span>
    </section>
  );
}

function Navigation() {
  return (
    <nav class="tabs" aria-label="Views">
      {views.map((one) => (
        <a key={one} href={placeOf(one)} aria-current={view.value === one ? 'page' : undefined}>
          <Icon name={one} />
          <span>{titles[one]}</span>
        </a>
      ))}
    </nav>
  );
}

function Current() {
  switch (view.value) {
    case 'pins':
      return <PinsView />;
    case 'trends':
      return <TrendsView />;
    case 'messages':
      return <MessagesView />;
    case 'system':
      return <SystemView />;
    case 'board':
      return <BoardView />;
  }
}

function Connection() {
  const gaps = missed.value > 0 ? `, ${plural(missed.value, 'message')} missed` : '';
  return (
    <p class={`connection ${live.value ? 'is-live' : 'is-lost'}`} role="status">
      {live.value ? `live${gaps}` : offlineSince.value === undefined ? 'connecting' : 'no connection'}
    </p>
  );
}

/** Nobody may take a simulation for a plant. */
function Simulated() {
  const simulated = allPins().filter(({ report }) => report?.['simulated'] === true).length;
  if (simulated === 0) return null;
  return <span class="simulated">{simulated === pinNames.value.length ? 'simulated' : `${simulated} simulated`}</span>;
}

function User() {
  const who = session.value;
  if (!who) return null;
  if (!who.login) return null;
  return (
    <div class="user">
      <span>
        {who.user} <small>{who.role}</small>
      </span>
      <button type="button" class="quiet" onClick={() => void logOut()} aria-label="Log out" title="Log out">
        <Icon name="out" />
      </button>
    </div>
  );
}
