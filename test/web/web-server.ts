import { Bus } from '../../src/bus/bus.ts';
import { type Clock, systemClock } from '../../src/clock/clock.ts';
import type { WebHost, WebUser } from '../../src/web/options.ts';
import { WebServer } from '../../src/web/web-server.ts';
import { memoryLog } from '../support/ports.ts';

/** A host without pins, ports and mesh. */
export function bareHost(clock: Clock = systemClock): WebHost & { readonly log: ReturnType<typeof memoryLog> } {
  return {
    bus: new Bus({ clock }),
    clock,
    log: memoryLog(),
    version: '1',
    self: () => ({ event: 'birth', node: 'me', name: 'here', boot: 'b', pins: [] }),
    running: () => true,
    ports: () => [],
    mesh: () => undefined,
    actors: () => [],
    headers: () => [],
  };
}

/** Starts a web server in this process on a free loopback port. */
export async function startWeb(users: readonly WebUser[] = [], clock?: Clock) {
  const host = bareHost(clock);
  const web = new WebServer({ host: '127.0.0.1', port: 0, users, origins: [], historyMs: 1000 }, host);
  await web.start();
  const url = /http:\S+/.exec(host.log.lines.map(({ message }) => message).join())?.[0] ?? '';
  return { web, host, url, port: Number(new URL(url).port) };
}
