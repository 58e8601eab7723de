/** Fan-out, wire copies and memory of scripts/bench/bus: one process that sends, and N that listen to it or to nothing. */
import { fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Mesh } from '../../src/mesh/mesh.ts';

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: console.error };
const PIN = 'boiler-room.temperature.flow-line';

function options(port: number) {
  return { listen: '127.0.0.1', rx: port, tx: port + 1, brokers: [], proxyBrokers: [], insecure: false, log: quiet };
}

/** A listener in a process of its own: counts, and says so when asked. `deaf`: has no interest in the pin. */
export async function listener(port: number, deaf: boolean): Promise<void> {
  const bus = new Bus();
  const actor = new Actor('sink');
  let heard = 0;
  actor.onPin(deaf ? 'something-else' : PIN, () => void heard++);
  bus.join(actor);
  const mesh = new Mesh(bus, options(port));
  await mesh.start();
  process.on('message', () => process.send?.({ heard, received: mesh.stats.received }));
  process.on('disconnect', () => process.exit(0));
  process.send?.({ ready: true });
}

export interface Fan {
  /** Delivered messages a second, all listeners together. */
  readonly rate: number;
  /** Messages that arrived anywhere, for each that was sent. */
  readonly copies: number;
  /** Growth of the sender for each peer (bytes). */
  readonly memory: number;
}

/** `listeners` that want the pin and `deaf` that do not. */
export async function fan(program: string, port: number, listeners: number, deaf: number, count: number): Promise<Fan> {
  const bus = new Bus();
  const actor = new Actor('source');
  bus.join(actor);
  const mesh = new Mesh(bus, options(port));
  await mesh.start();
  const before = residentBytes();
  const children = Array.from({ length: listeners + deaf }, (_, n) =>
    fork(program, ['listener', String(port), n < listeners ? 'keen' : 'deaf']),
  );
  const ask = () =>
    Promise.all(
      children.map(
        (child) =>
          new Promise<{ heard: number; received: number }>((resolve) => {
            child.once('message', (found) => {
              if (typeof found === 'object' && found !== null && 'heard' in found && 'received' in found)
                resolve({ heard: Number(found.heard), received: Number(found.received) });
            });
            child.send({ count: true });
          }),
      ),
    );
  await Promise.all(children.map((child) => new Promise((resolve) => child.once('message', resolve))));
  while (mesh.links.filter(({ open }) => open).length < children.length) await pause(50);
  await pause(1500);
  const memory = (residentBytes() - before) / children.length;
  const start = await ask();
  const begun = performance.now();
  for (let n = 0; n < count; n++) {
    actor.send({ IoMessage: { pin_name: PIN, val: n, last_change: 1795344194.69, quality: 'good', seq: n } });
    if (n % 50 === 49) await new Promise<void>((resolve) => setImmediate(resolve));
    // Nobody is sent more than can wait for it.
    if (n % 2000 === 1999)
      while ((await ask()).some(({ heard }, at) => at < listeners && heard < n - 2000)) await pause(2);
  }
  let found = await ask();
  for (const end = Date.now() + 10_000; found.some(({ heard }, at) => at < listeners && heard < count); ) {
    if (Date.now() > end) throw new Error(`lost: ${found.map(({ heard }) => heard).join(' ')} of ${count}`);
    await pause(5);
    found = await ask();
  }
  const took = performance.now() - begun;
  const received = found.reduce((sum, { received: now }, at) => sum + now - (start[at]?.received ?? 0), 0);
  for (const child of children) child.kill();
  await mesh.stop();
  return { rate: (count * listeners * 1000) / took, copies: received / count, memory };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Anonymous memory of this process (bytes): what is its own, not the programs and libraries it maps. */
function residentBytes(): number {
  if (!readdirSync('/proc/self').includes('status')) return process.memoryUsage().rss;
  const [, kilobytes = '0'] = /RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
