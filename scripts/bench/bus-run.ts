/** The program of scripts/bench/bus. Started without arguments it measures; with `other` it is the second process. */
import { fork, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { allow, newKeys, showKey } from '../../src/mesh/security/keys.ts';
import { cpuPerThousand, type Load, loads } from './bus-agent.ts';
import { fan, listener } from './bus-fan.ts';
import { type Kind, openSide, type Place } from './bus-side.ts';

const MESSAGES = 60_000;
const WINDOW = 4000;
const TRIPS = 2000;
/** Most time for one run of round trips (ms): with QoS 1 each takes 80 ms where Nagle's algorithm meets delayed acknowledgements. */
const TRIPS_MS = 5000;
/** Of how many runs, taken in turn, the median counts. */
const ROUNDS = 3;
/** Runs of one agent, of which the median counts. */
const CPU_ROUNDS = 5;
const MQTT_PORT = 18_830 + Math.floor(Math.random() * 1000);
const kinds = ['zmq', 'tcp', 'mqtt0', 'mqtt1', 'mesh', 'curve'] as const;

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

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Runs one measurement; resolves with messages a second, or with the sorted round trips in ms. */
async function measure(kind: Kind, mode: Mode, port: number, keys?: string): Promise<number[]> {
  const place = { kind, port, mqtt: MQTT_PORT, ...(keys !== undefined && { keys }) };
  const replies = new EventEmitter();
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
  const side = await openSide({ ...place, first: true }, () => void replies.emit('reply'), ready);
  await both;
  const results =
    mode === 'trip'
      ? await tripTimes(() => side.send(0, true), replies)
      : [
          await messageRate(
            `${kind} ${mode}`,
            mode,
            (val) => side.send(val, false),
            () => acknowledged,
          ),
        ];
  child.kill();
  await side.close();
  return results.sort((one, two) => one - two);
}

async function tripTimes(send: () => void, replies: EventEmitter): Promise<number[]> {
  const results: number[] = [];
  const end = performance.now() + TRIPS_MS;
  for (let n = 0; n < TRIPS && performance.now() < end; n++) {
    const begun = performance.now();
    const returned = new Promise<void>((resolve) => replies.once('reply', resolve));
    send();
    await returned;
    results.push(performance.now() - begun);
  }
  // The first ones warm up.
  return results.slice(Math.floor(results.length / 4));
}

async function messageRate(
  name: string,
  mode: Mode,
  send: (val: number) => void,
  acknowledged: () => number,
): Promise<number> {
  let begun = performance.now();
  for (let n = 0; n < MESSAGES; n++) {
    if (n === MESSAGES / 4) begun = performance.now();
    send(n);
    if (mode === 'single' || n % 50 === 0) await nextTurn();
    while (n - acknowledged() > WINDOW) await nextTurn();
  }
  const end = Date.now() + 5000;
  while (acknowledged() < MESSAGES && Date.now() < end) await nextTurn();
  if (acknowledged() < MESSAGES) console.error(`${name}: only ${acknowledged()} of ${MESSAGES} arrived`);
  return ((acknowledged() * 3) / 4 / (performance.now() - begun)) * 1000;
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

const names: Record<Kind, string> = {
  zmq: 'raw zeromq.js PUB→SUB with JSON',
  tcp: 'node:net, JSON lines',
  mqtt0: 'MQTT.js through mosquitto, QoS 0',
  mqtt1: 'MQTT.js through mosquitto, QoS 1',
  mesh: 'dcs-io',
  curve: 'dcs-io with CURVE',
};

/** Measures every kind in turn, several times over, so that a busy moment meets all of them alike. */
async function medians(measured: (kind: Kind) => Promise<number>): Promise<Partial<Record<Kind, number>>> {
  const all = new Map<Kind, number[]>();
  for (let round = 0; round < ROUNDS; round++)
    for (const kind of kinds) all.set(kind, [...(all.get(kind) ?? []), await measured(kind)]);
  return Object.fromEntries([...all].map(([kind, found]) => [kind, median(found)]));
}

const sections = ['burst', 'single', 'trips', 'fan', 'local', 'cpu'] as const;
type Section = (typeof sections)[number];

/** Raw transports, other peers of the mesh, and this process alone; `keys`: a folder with keys that allow themselves. */
async function main(wanted: readonly Section[], keys: string): Promise<void> {
  let port = 20_000 + Math.floor(Math.random() * 20_000);
  const nextPort = () => {
    port += 4;
    return port;
  };
  row('between two processes, 200-byte IoMessages', 'messages/s', 'ratio', 'goal');
  for (const mode of ['burst', 'single'] as const) {
    if (wanted.includes(mode)) await messageRates(mode, (kind) => measure(kind, mode, nextPort(), keys));
  }
  if (wanted.includes('trips')) await roundTrips((kind) => measure(kind, 'trip', nextPort(), keys));
  if (wanted.includes('fan')) await fanOut(nextPort);
  if (wanted.includes('local')) {
    const { bus, emitter } = await inProcess();
    row('in one process: EventEmitter', emitter.toFixed(0), '1');
    row('in one process: bus', bus.toFixed(0), (bus / emitter).toFixed(2), '≥ 1,000,000 or ≥ 0.25');
  }
  if (wanted.includes('cpu')) await agentCpu(nextPort);
}

async function messageRates(mode: 'burst' | 'single', run: (kind: Kind) => Promise<number[]>): Promise<void> {
  const rates = await medians(async (kind) => (await run(kind))[0] ?? 0);
  const { zmq = 0, mesh = 0 } = rates;
  for (const kind of kinds) {
    const name = `${names[kind]}, ${mode === 'burst' ? '50 in one turn' : 'one a turn'}`;
    const found = rates[kind] ?? 0;
    const goals = {
      mesh: mode === 'burst' ? '≥ 1.5' : '≥ 0.9',
      curve: `${(found / mesh).toFixed(2)} of plain, ≥ 0.65`,
    };
    row(name, found.toFixed(0), (found / zmq).toFixed(2), kind === 'mesh' || kind === 'curve' ? goals[kind] : '');
  }
}

async function fanOut(nextPort: () => number): Promise<void> {
  const program = fileURLToPath(import.meta.url);
  for (const listeners of [1, 4, 16]) {
    const found = await fan(program, nextPort(), listeners, 0, listeners > 4 ? 6000 : 20_000);
    row(`fan-out to ${listeners}: all deliveries`, found.rate.toFixed(0), '');
  }
  for (const nodes of [2, 4, 8, 16, 32]) {
    const keen = nodes / 2;
    const { copies, memory } = await fan(program, nextPort(), keen, nodes - 1 - keen, 1000);
    row(`wire copies of a message among ${nodes}, ${keen} interested`, copies.toFixed(3), '', `= ${keen}`);
    row(`memory of a process for each of ${nodes - 1} peers`, `${(memory / 1024).toFixed(0)} KiB`, '');
  }
}

/**
 * CPU of a built agent for 1,000 commands and reports. With DCS_IO_VS, a built checkout, both take turns, and the ratio is
 * the median of the pairs.
 */
async function agentCpu(nextPort: () => number): Promise<void> {
  const vs = process.env['DCS_IO_VS'];
  row('CPU of an agent with simulated hardware', 'ms per 1,000', vs === undefined ? '' : 'ratio');
  for (const load of loads) for (const peer of [false, true]) await agentCpuOf(load, peer, vs, nextPort);
}

async function agentCpuOf(load: Load, peer: boolean, vs: string | undefined, nextPort: () => number): Promise<void> {
  const run = (tree: string) => cpuPerThousand({ tree, load, peer, port: nextPort() });
  const figures: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < CPU_ROUNDS; round++) {
    const mine = await run(process.cwd());
    figures.push(mine);
    if (vs !== undefined) ratios.push(mine / (await run(vs)));
  }
  const name = `1,000 ${load}s, ${peer ? 'one peer' : 'alone'}`;
  row(name, median(figures).toFixed(1), vs === undefined ? '' : median(ratios).toFixed(2));
}

function median(figures: readonly number[]): number {
  return [...figures].sort((one, two) => one - two)[Math.floor(figures.length / 2)] ?? 0;
}

/** Round trips (ms, sorted) of every kind; the better p99 of a few runs, since one hiccup of the machine spoils one. */
async function roundTrips(trips: (kind: Kind) => Promise<number[]>): Promise<void> {
  const p99: Partial<Record<Kind, number>> = {};
  const p50 = await medians(async (kind) => {
    const sorted = await trips(kind);
    p99[kind] = Math.min(sorted[Math.floor(sorted.length * 0.99)] ?? 0, p99[kind] ?? Number.POSITIVE_INFINITY);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  });
  for (const kind of kinds) {
    const text = `${(p50[kind] ?? 0).toFixed(3)}/${(p99[kind] ?? 0).toFixed(2)} ms`;
    const ratio = ((p50[kind] ?? 0) / (p50.zmq ?? 1)).toFixed(2);
    row(`round trip p50/p99: ${names[kind]}`, text, ratio, kind === 'mesh' ? '≤ 1.3' : '');
  }
}

/** As it is installed mosquitto drops what is above 1,000 waiting messages, without a word. */
async function startMosquitto(folder: string): Promise<void> {
  const settings = `listener ${MQTT_PORT} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n`;
  writeFileSync(join(folder, 'mosquitto.conf'), settings);
  const mosquitto = spawn('mosquitto', ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore' });
  process.once('exit', () => mosquitto.kill());
  await new Promise((resolve) => setTimeout(resolve, 1000));
}

function sectionsOf(words: readonly string[]): readonly Section[] {
  if (words.length === 0) return sections;
  const known = sections.filter((section) => words.includes(section));
  if (known.length === words.length) return known;
  throw new Error(`sections are ${sections.join(', ')}; found ${words.join(' ')}`);
}

const [role, place, mode] = process.argv.slice(2);
if (role === 'listener') await listener(Number(place), mode === 'deaf');
else if (role === 'other') {
  await other(JSON.parse(place ?? '{}'), mode === 'trip' ? 'trip' : 'burst');
} else {
  const wanted = sectionsOf(process.argv.slice(2));
  const keys = mkdtempSync(join(tmpdir(), 'dcs-io-bench-'));
  await newKeys(keys);
  allow(keys, 'self', showKey(keys));
  if (wanted.some((section) => section === 'burst' || section === 'single' || section === 'trips')) {
    await startMosquitto(keys);
  }
  await main(wanted, keys);
  rmSync(keys, { recursive: true });
  process.exit(0);
}
