import { plural, showTime } from './format.ts';
import { Icon } from './icons.tsx';
import { PinDialog } from './pins/pin-dialog.tsx';
import { session } from './state/api.ts';
import { live, missed, offlineSince } from './state/connection.ts';
import { hashOf, type View, view, views } from './state/navigation.ts';
import { allPins, pinNames } from './state/pins.ts';
import { connectError, logOut } from './state/session.ts';
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
  if (who === undefined) return <p class="waiting">{connectError.value === '' ? 'Connecting…' : connectError.value}</p>;
  if (who.role === null) return <Login node={who.node} />;
  return (
    <div class={live.value ? '' : 'stale'}>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="top">
        <h1>{who.node}</h1>
        <ConnectionState />
        <SimulatedBadge />
        <Navigation />
        <UserMenu />
      </header>
      <main id="content" tabIndex={-1}>
        <OfflineAlert />
        <Alerts />
        <CurrentView />
      </main>
      <PinDialog />
    </div>
  );
}

/** Warns that the values on the page are outdated. */
function OfflineAlert() {
  const since = offlineSince.value;
  if (live.value || since === undefined) return null;
  return (
    <section class="alert is-offline" role="alert">
      <Icon name="warning" />
      <strong>No connection since {showTime(since).slice(0, 8)}</strong>
      <span>The page shows the last known values. Commands are not possible. Reconnecting…</span>
    </section>
  );
}

function Navigation() {
  return (
    <nav class="tabs" aria-label="Views">
      {views.map((one) => (
        <a key={one} href={hashOf(one)} aria-current={view.value === one ? 'page' : undefined}>
          <Icon name={one} />
          <span>{titles[one]}</span>
        </a>
      ))}
    </nav>
  );
}

function CurrentView() {
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

function ConnectionState() {
  const gaps = missed.value > 0 ? `, ${plural(missed.value, 'message')} missed` : '';
  return (
    <p class={`connection ${live.value ? 'is-live' : 'is-lost'}`} role="status">
      {live.value ? `live${gaps}` : offlineSince.value === undefined ? 'connecting' : 'no connection'}
    </p>
  );
}

/** Shows that values come from simulated hardware. */
function SimulatedBadge() {
  const simulated = allPins().filter(({ report }) => report?.['simulated'] === true).length;
  if (simulated === 0) return null;
  return <span class="simulated">{simulated === pinNames.value.length ? 'simulated' : `${simulated} simulated`}</span>;
}

function UserMenu() {
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
