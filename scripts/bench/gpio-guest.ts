/** The part of scripts/bench/gpio that runs in the rig. Arguments: a directory for the result, then what to measure. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import koffi from 'koffi';
import { gpio } from '../../drivers/gpio/driver.ts';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { systemClock } from '../../src/clock/clock.ts';
import type { Channel, Log, PortContext } from '../../src/driver/driver.ts';
import { PinActor } from '../../src/io/pin-actor.ts';
import { PortRunner } from '../../src/io/port-runner.ts';
import { isReport } from '../../src/message/payloads.ts';
import type { PinSpec } from '../../src/pin/pin.ts';
import { SimChip } from '../../test/gpio/guest/sim-chip.ts';
import { bareReader } from './bare-reader.ts';

const EDGES = 5000;
const RATES = [200, 1000, 2000, 4900];
const LABEL = 'bench-sim';

const [share = '/run/share', ...only] = process.argv.slice(2);
const rows: string[] = [];
const print = (row: string) => {
  console.log(row);
  rows.push(row);
};
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** CLOCK_REALTIME in seconds, finer than Date.now(): what the kernel stamps with. */
function wallClock(): () => number {
  const call: (clock: number, time: Uint8Array) => number = koffi
    .load(null)
    .func('int clock_gettime(int clock, void *time)');
  const time = Buffer.alloc(16);
  let best = Number.POSITIVE_INFINITY;
  let offset = 0;
  // The look that took least time is the one that was not interrupted.
  for (let look = 0; look < 200; look++) {
    const before = performance.now();
    call(0, time);
    const after = performance.now();
    if (after - before >= best) continue;
    best = after - before;
    const wall = Number(time.readBigInt64LE(0)) + Number(time.readBigInt64LE(8)) / 1e9;
    offset = wall - (before + after) / 2000;
  }
  return () => offset + performance.now() / 1000;
}

const now = wallClock();

interface Run {
  readonly latencies: number[];
  readonly levels: boolean[];
  readonly times: number[];
  readonly counters: Map<string, number>;
  cpuMs: number;
}

const emptyRun = (): Run => ({ latencies: [], levels: [], times: [], counters: new Map(), cpuMs: 0 });

/** Something that reads line 0 of the chip into a run; returns what ends it. */
type Reader = (run: Run, chip: SimChip) => Promise<() => Promise<void>>;

const contextOf = (run: Run): PortContext => ({
  clock: systemClock,
  log: quiet,
  down(error) {
    throw error;
  },
  count: (name, by = 1) => run.counters.set(name, (run.counters.get(name) ?? 0) + by),
});

const channelOf = (gpioLine: number): Channel => ({
  key: `line ${gpioLine}`,
  kind: 'digital',
  direction: 'in',
  address: gpio.pin.parse({ gpio: gpioLine }),
  debounceMs: 0,
});

function seen(run: Run, level: boolean, sourceTime: number | undefined): void {
  if (sourceTime !== undefined) run.latencies.push(now() - sourceTime);
  run.times.push(sourceTime ?? 0);
  run.levels.push(level);
}

const driver =
  (backend: 'chardev' | 'onoff'): Reader =>
  async (run) => {
    const channel = channelOf(0);
    const { port } = await opened(backend, [channel], run);
    let first = true;
    port.subscribe(channel, (reading) => {
      if (reading.ok && !first) seen(run, reading.value === true, reading.sourceTime);
      first = false;
    });
    return () => port.close();
  };

async function opened(backend: 'chardev' | 'onoff', channels: Channel[], run: Run) {
  const got = await gpio.open(gpio.options.parse({ chip: LABEL, backend }), channels.map(typed), contextOf(run));
  if (got.kind === 'skipped') throw new Error(got.reason);
  return got;
}

/** The same channel with the address as the driver's schema made it. */
function typed(channel: Channel) {
  return { ...channel, address: gpio.pin.parse(channel.address) };
}

const bare: Reader = async (run, chip) => {
  const stop = await bareReader(`/dev/${chip.device}`, 0, (ns) => seen(run, true, Number(ns / 1000n) / 1e6));
  return async () => stop();
};

/** The whole way: driver, port, pin, report on the bus to an actor. */
const agent: Reader = async (run) => {
  const bus = new Bus({ clock: systemClock });
  const channel = channelOf(0);
  const runner = new PortRunner(
    'bench',
    gpio,
    gpio.options.parse({ chip: LABEL }),
    [{ channel, startAt: () => undefined }],
    {
      clock: systemClock,
      log: quiet,
    },
  );
  const spec: PinSpec = {
    name: 'bench',
    kind: 'digital',
    direction: 'in',
    invert: false,
    scale: 1,
    offset: 0,
    deadband: 0,
    onExit: 'hold',
    debounceMs: 0,
  };
  const pin = new PinActor(spec, runner.handle(channel), quiet);
  const listener = new Actor('listener');
  listener.onPin('bench', (message) => {
    const time = message['source_time'];
    if (isReport(message) && typeof time === 'number') seen(run, message.val === true, time);
  });
  for (const actor of [listener, pin]) {
    const attachment = bus.attach(actor, (error) => {
      throw error;
    });
    await actor.onStart();
    attachment.open();
  }
  await runner.start();
  return async () => {
    await runner.stop();
    for (const [name, by] of runner.counters) run.counters.set(name, by);
    bus.close();
  };
};

async function measure(reader: Reader, chip: SimChip, rate: number): Promise<Run> {
  const run = emptyRun();
  chip.pull(0, false);
  const stop = await reader(run, chip);
  await pause(500);
  const before = process.cpuUsage();
  const writer = spawn(`${share}/edges`, [chip.pullFile(0), String(EDGES), String(rate)]);
  await once(writer, 'exit');
  await pause(500);
  const used = process.cpuUsage(before);
  run.cpuMs = (used.user + used.system) / 1000;
  await stop();
  return run;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

function inOrder(run: Run): boolean {
  const levels = run.levels.every((level, at) => level === (at % 2 === 0));
  return levels && run.times.every((time, at) => at === 0 || time >= (run.times[at - 1] ?? 0));
}

const ms = (seconds: number) => (seconds * 1000).toFixed(2).padStart(7);

const chip = new SimChip(LABEL, 64);
const readers: [string, Reader][] = [
  ['bare', bare],
  ['chardev', driver('chardev')],
  ['report', agent],
  ['onoff', driver('onoff')],
];
print(`${EDGES} edges each; latency from the kernel's time stamp, ms`);
print('reader    rate/s   seen   lost  order      p50     p99  CPU ms per 1000 edges');
for (const [name, reader] of readers) {
  if (only.length > 0 && !only.includes(name)) continue;
  for (const rate of RATES) {
    const run = await measure(reader, chip, rate);
    const got = run.levels.length;
    const cells = [
      name.padEnd(8),
      String(rate).padStart(7),
      String(got).padStart(6),
      String(EDGES - got).padStart(6),
      (name === 'bare' ? '' : inOrder(run) ? 'yes' : 'NO').padStart(6),
      run.latencies.length ? ms(quantile(run.latencies, 0.5)) : '      -',
      run.latencies.length ? ms(quantile(run.latencies, 0.99)) : '      -',
      ((run.cpuMs * 1000) / EDGES).toFixed(0).padStart(6),
      [...run.counters].map(([key, by]) => `${key} ${by}`).join(', '),
    ];
    print(cells.join(' '));
  }
}
chip.remove();
writeFileSync(`${share}/result`, `${rows.join('\n')}\n`);
process.exit(0);
