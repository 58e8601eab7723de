import { render } from 'preact';
import { App } from './app.tsx';
import { startClock } from './state/clock.ts';
import { openSession } from './state/session.ts';

const root = document.getElementById('app');
if (root) {
  render(<App />, root);
  startClock();
  void openSession();
}
