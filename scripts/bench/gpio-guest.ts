/** The part of scripts/bench/gpio that runs in the rig. Arguments: a directory for the result, then what to measure. */
import { writeFileSync } from 'node:fs';
import { gpio } from '../../drivers/gpio/driver.ts';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { systemClock } from '../../src/clock/clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { createPin } from '../../src/io/create-pin.ts';
import { PortRunner } from '../../src/io/port-runner.ts';
import { isReport } from '../../src/message/payloads.ts';
import { KeptOutputs } from '../../src/output/kept-state.ts';
import { Nodes } from '../../src/output/nodes.ts';
import { PinTable } from '../../src/output/pin-table.ts';
import type { Direction, PinSpec } from '../../src/pin/pin.ts';
import { SimChip } from '../../test/gpio/guest/sim-chip.ts';
import { bareReader } from './bare-reader.ts';
import { channelOf, drive, LABEL, openPort, quantile, quiet, Run, us } from './gpio-run.ts';

const EDGES = 5000;
const RATES = [200, 1000, 2000, 4900];
const COMMANDS = 1000;

const [share = '/run/share', ...only] = process.argv.slice(2);
const edges = `${share}/edges`;
const rows: string[] = [];
const print = (row: string) => {
  console.log(row);
  rows.push(row);
};
const wanted = (name: string) => only.length === 0 || only.includes(name);

/** Reads line 0 of the chip into a run; resolves with the function that ends it. */
type Reader = (run: Run, chip: SimChip) => Promise<() => Promise<void>>;

const driver =
  (backend: string): Reader =>
  async (run) => {
    let first = true;
    const port = await openPort(backend, [0], run, (reading) => {
      if (reading.ok && !first) run.edge(reading.value === true, reading.sourceTime);
      first = false;
    });
    return () => port.close();
  };

const bare: Reader = async (run, chip) => {
  const stop = await bareReader(`/dev/${chip.device}`, 0, (ns) => run.edge(true, Number(ns / 1000n) / 1e6));
  return async () => stop();
};

/** A pin and an actor on a bus: the whole way inside the process. */
async function pinOnBus(line: number, direction: Direction, actor: Actor) {
  const bus = new Bus({ clock: systemClock });
  const channel = channelOf(line, direction);
  const options = gpio.options.parse({ chip: LABEL });
  const life = { clock: systemClock, log: quiet };
  const runner = new PortRunner('bench', gpio, options, [{ channel, openingValue: () => undefined }], life);
  const scaling = { invert: false, scale: 1, offset: 0, deadband: 0, debounceMs: 0 };
  const policies = { onExit: 'hold', onLoss: 'safe', rearm: 'auto', rules: {} } as const;
  const spec: PinSpec = { name: 'bench', kind: 'digital', direction, ...policies, ...scaling };
  const table = new PinTable(systemClock);
  const entry = table.add(spec, { port: 'bench', key: channel.key });
  const nodes = new Nodes(systemClock, 'bench', (id) => bus.nameOf(id));
  const pin = createPin(entry, runner.handle(channel), {
    log: quiet,
    table,
    nodes,
    kept: new KeptOutputs(undefined, life),
  });
  for (const one of [actor, pin]) {
    const attachment = bus.attach(one, (error) => {
      throw error;
    });
    await one.onStart();
    attachment.open();
  }
  await runner.start();
  return { runner, bus };
}

const report: Reader = async (run) => {
  const listener = new Actor('listener');
  listener.onPin('bench', (message) => {
    const time = message['source_time'];
    if (isReport(message) && typeof time === 'number') run.edge(message.val === true, time);
  });
  const { runner, bus } = await pinOnBus(0, 'in', listener);
  return async () => {
    await runner.stop();
    for (const [name, by] of runner.counters) run.counters.set(name, by);
    bus.close();
  };
};

async function edgeTable(chip: SimChip): Promise<void> {
  const readers: [string, Reader][] = [
    ['bare', bare],
    ['chardev', driver('chardev')],
    ['report', report],
    ['onoff', driver('onoff')],
  ];
  print(`${EDGES} edges each; latency from the kernel's time stamp, µs; × is the p50 of the bare reader at that rate`);
  print('reader    rate/s   seen   lost  order     p50      ×     p99  CPU ms per 1000 edges');
  const bareP50 = new Map<number, number>();
  for (const [name, reader] of readers.filter(([name]) => wanted(name))) {
    await measure(reader, chip, 2000);
    for (const rate of RATES) {
      const run = await measure(reader, chip, rate);
      const got = run.levels.length;
      const p50 = quantile(run.latencies, 0.5);
      if (name === 'bare') bareP50.set(rate, p50);
      const cells = [
        name.padEnd(8),
        String(rate).padStart(7),
        String(got).padStart(6),
        String(EDGES - got).padStart(6),
        (name === 'bare' ? '' : run.inOrder ? 'yes' : 'NO').padStart(6),
        us(p50),
        (p50 / (bareP50.get(rate) ?? Number.NaN)).toFixed(2).replace('NaN', '').padStart(6),
        us(quantile(run.latencies, 0.99)),
        ((run.cpuMs * 1000) / EDGES).toFixed(1).padStart(6),
        [...run.counters].map(([key, by]) => `${key} ${by}`).join(', '),
      ];
      print(cells.join(' '));
    }
  }
}

/** The figures of one row. The first run of a reader is discarded, because its code is being compiled. */
async function measure(reader: Reader, chip: SimChip, rate: number): Promise<Run> {
  const run = new Run();
  chip.pull(0, false);
  const stop = await reader(run, chip);
  await drive(run, edges, chip, [0], EDGES, rate);
  await stop();
  return run;
}

async function commandTable(): Promise<void> {
  const asker = new Actor('asker');
  const { runner, bus } = await pinOnBus(1, 'out', asker);
  const took: number[] = [];
  for (let n = 0; n < COMMANDS; n++) {
    const begun = performance.now();
    await asker.request({ IoMessage: { pin_name: 'bench', val: n % 2 === 0 } });
    took.push((performance.now() - begun) / 1000);
  }
  await runner.stop();
  bus.close();
  print(
    `command on the bus to its answer, line set and read back: p50 ${us(quantile(took, 0.5))}  p99 ${us(quantile(took, 0.99))} µs`,
  );
}

async function widthTable(chip: SimChip): Promise<void> {
  const lines = Array.from({ length: 64 }, (_, line) => line);
  print('64 lines, 5000 edges over all of them at 2000/s');
  print('ports   open ms   seen     p50     p99 µs  CPU ms per 1000 edges');
  for (const groups of [[lines], lines.map((line) => [line])]) {
    for (const line of lines) chip.pull(line, false);
    const run = new Run();
    const begun = performance.now();
    const seen = (reading: Reading) => {
      if (reading.ok && reading.sourceTime !== undefined) run.edge(true, reading.sourceTime);
    };
    const ports = await Promise.all(groups.map((group) => openPort('chardev', group, run, seen)));
    const opened = performance.now() - begun;
    await drive(run, edges, chip, lines, EDGES, 2000);
    await Promise.all(ports.map((port) => port.close()));
    const cells = [
      String(groups.length).padStart(5),
      opened.toFixed(0).padStart(9),
      String(run.levels.length).padStart(6),
      us(quantile(run.latencies, 0.5)),
      us(quantile(run.latencies, 0.99)),
      ((run.cpuMs * 1000) / EDGES).toFixed(0).padStart(6),
    ];
    print(cells.join(' '));
  }
}

const chip = new SimChip(LABEL, 64);
await edgeTable(chip);
if (wanted('command')) await commandTable();
if (wanted('64')) await widthTable(chip);
chip.remove();
writeFileSync(`${share}/result`, `${rows.join('\n')}\n`);
process.exit(0);
