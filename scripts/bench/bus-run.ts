/** The program of scripts/bench/bus. Started without arguments it measures; with `other` it is the second process. */
import { fork } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { allow, newKeys, showKey } from '../../src/mesh/keys.ts';
import { type Kind, openSide, type Place } from './bus-side.ts';

const MESSAGES = 60_000;
const WINDOW = 4000;
const TRIPS = 2000;

type Mode = 'burst' | 'single' | 'trip';

/** The second process: counts what it hears and says so now and then, or sends everything back. */
async function other(place: Place, mode: Mode): Promise<void> {
  let heard = 0;
  const side = await openSide(
    place,
    (val) => {
      heard++;
      if (mode === 'trip') side.send(val, true);
      else if (heard % 1000 === 0) process.send?.({ heard });
    },
    () => process.send?.({ ready: true }),
  );
  process.on('disconnect', () => process.exit(0));
}

/** Runs one measurement; resolves with messages a second, or with the round trips in ms. */
async function measure(kind: Kind, mode: Mode, port: number, keys?: string): Promise<number[]> {
  const place = { kind, port, ...(keys !== undefined && { keys }) };
  let back: (val: number) => void = () => undefined;
  let acknowledged = 0;
  let readies = 0;
  let go: () => void = () => undefined;
  const both = new Promise<void>((resolve) => {
    go = resolve;
  });
  const ready = () => void (++readies === 2 && go());
  const child = fork(fileURLToPath(import.meta.url), ['other', JSON.stringify({ ...place, first: false }), mode]);
  child.on('message', (word) => {
    if (typeof word !== 'object' || word === null) return;
    if ('heard' in word) acknowledged = Number(word.heard);
    else ready();
  });
  const side = await openSide({ ...place, first: true }, (val) => back(val), ready);
  await both;
  const results: number[] = [];
  if (mode === 'trip') {
    for (let n = 0; n < TRIPS; n++) {
      const begun = performance.now();
      const returned = new Promise<void>((resolve) => {
        back = () => resolve();
      });
      side.send(n, true);
      await returned;
      if (n >= TRIPS / 4) results.push(performance.now() - begun);
    }
  } else {
    let begun = performance.now();
    for (let n = 0; n < MESSAGES; n++) {
      if (n === MESSAGES / 4) begun = performance.now();
      side.send(n, false);
      if (mode === 'single' || n % 50 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      while (n - acknowledged > WINDOW) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const end = Date.now() + 5000;
    while (acknowledged < MESSAGES && Date.now() < end) await new Promise<void>((resolve) => setImmediate(resolve));
    if (acknowledged < MESSAGES) console.error(`${kind} ${mode}: only ${acknowledged} of ${MESSAGES} arrived`);
    results.push(((acknowledged * 3) / 4 / (performance.now() - begun)) * 1000);
  }
  child.kill();
  await side.close();
  return results.sort((one, two) => one - two);
}

async function inProcess(): Promise<{ bus: number; emitter: number }> {
  const count = 300_000;
  const bus = new Bus();
  const [from, to] = [new Actor('from'), new Actor('to')];
  let heard = 0;
  to.onPin('lamp', () => void heard++);
  bus.join(from);
  bus.join(to);
  const payload = { IoMessage: { pin_name: 'lamp', val: true, last_change: 1 } };
  const rate = async (send: () => void) => {
    heard = 0;
    const begun = performance.now();
    for (let n = 0; n < count; n++) {
      send();
      if (n % 100 === 0) await Promise.resolve();
    }
    await new Promise((resolve) => setImmediate(resolve));
    return (heard / (performance.now() - begun)) * 1000;
  };
  const emitter = new EventEmitter();
  emitter.on('lamp', () => void heard++);
  const emit = () => void emitter.emit('lamp', payload);
  const send = () => void from.send(payload);
  for (const each of [emit, send]) await rate(each);
  return { emitter: await rate(emit), bus: await rate(send) };
}

function row(name: string, value: string, ratio: string, goal = ''): void {
  console.log(`${name.padEnd(52)}${value.padStart(14)}${ratio.padStart(10)}  ${goal}`);
}

async function main(): Promise<void> {
  const keys = mkdtempSync(join(tmpdir(), 'dcs-io-bench-'));
  await newKeys(keys);
  allow(keys, 'self', showKey(keys));
  let port = 20_000 + Math.floor(Math.random() * 20_000);
  const nextPort = () => {
    port += 4;
    return port;
  };
  const rate = async (kind: Kind, mode: Mode) => (await measure(kind, mode, nextPort(), keys))[0] ?? 0;
  const trips = async (kind: Kind) => {
    const sorted = await measure(kind, 'trip', nextPort(), keys);
    return { p50: sorted[Math.floor(sorted.length / 2)] ?? 0, p99: sorted[Math.floor(sorted.length * 0.99)] ?? 0 };
  };
  row('between two processes, 200-byte IoMessages', 'messages/s', 'ratio', 'goal');
  for (const mode of ['burst', 'single'] as const) {
    const raw = await rate('zmq', mode);
    const how = mode === 'burst' ? '50 in one turn' : 'one a turn';
    row(`raw zeromq.js PUB→SUB with JSON, ${how}`, raw.toFixed(0), '1');
    const tcp = await rate('tcp', mode);
    row(`node:net, JSON lines, ${how}`, tcp.toFixed(0), (tcp / raw).toFixed(2));
    const mesh = await rate('mesh', mode);
    row(`dcs-io, ${how}`, mesh.toFixed(0), (mesh / raw).toFixed(2), mode === 'burst' ? '≥ 1.5' : '≥ 0.9');
    const curve = await rate('curve', mode);
    row(`dcs-io with CURVE, ${how}`, curve.toFixed(0), (curve / mesh).toFixed(2), '≥ 0.65 of dcs-io plain');
  }
  const raw = await trips('zmq');
  for (const kind of ['zmq', 'tcp', 'mesh', 'curve'] as const) {
    const { p50, p99 } = kind === 'zmq' ? raw : await trips(kind);
    const text = `${p50.toFixed(3)}/${p99.toFixed(2)} ms`;
    row(`round trip p50/p99: ${kind}`, text, (p50 / raw.p50).toFixed(2), kind === 'mesh' ? '≤ 1.3' : '');
  }
  const { bus, emitter } = await inProcess();
  row('in one process: EventEmitter', emitter.toFixed(0), '1');
  row('in one process: bus', bus.toFixed(0), (bus / emitter).toFixed(2), '≥ 1,000,000 or ≥ 0.25');
  rmSync(keys, { recursive: true });
}

const [role, place, mode] = process.argv.slice(2);
if (role === 'other') {
  await other(JSON.parse(place ?? '{}'), mode === 'trip' ? 'trip' : 'burst');
} else {
  await main();
  process.exit(0);
}
