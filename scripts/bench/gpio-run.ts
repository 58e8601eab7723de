import { spawn } from 'node:child_process';
import { once } from 'node:events';
import koffi from 'koffi';
import { gpio } from '../../drivers/gpio/driver.ts';
import { systemClock } from '../../src/clock/clock.ts';
import type { Channel, Port, PortContext, Reading } from '../../src/driver/contract.ts';
import type { Log } from '../../src/log/log.ts';
import type { Direction } from '../../src/pin/pin.ts';
import type { SimChip } from '../../test/gpio/guest/sim-chip.ts';

export const LABEL = 'bench-sim';
export const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };
export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** CLOCK_REALTIME in seconds, finer than Date.now(): the clock of the kernel's time stamps. */
function wallClock(): () => number {
  const call: (clock: number, time: Uint8Array) => number = koffi
    .load(null)
    .func('int clock_gettime(int clock, void *time)');
  const time = Buffer.alloc(16);
  let best = Number.POSITIVE_INFINITY;
  let offset = 0;
  // The shortest look was not interrupted.
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

/** The edges of one measurement. */
export class Run {
  readonly latencies: number[] = [];
  readonly levels: boolean[] = [];
  readonly times: number[] = [];
  readonly counters = new Map<string, number>();
  cpuMs = 0;

  edge(level: boolean, sourceTime: number | undefined): void {
    if (sourceTime !== undefined) this.latencies.push(now() - sourceTime);
    this.times.push(sourceTime ?? 0);
    this.levels.push(level);
  }

  get inOrder(): boolean {
    const levels = this.levels.every((level, at) => level === (at % 2 === 0));
    return levels && this.times.every((time, at) => at === 0 || time >= (this.times[at - 1] ?? 0));
  }

  contextWith(changed: (reading: Reading) => void): PortContext {
    return {
      clock: systemClock,
      log: quiet,
      changed: (_channel, reading) => changed(reading),
      down(error) {
        throw error;
      },
      count: (name, by = 1) => this.counters.set(name, (this.counters.get(name) ?? 0) + by),
    };
  }
}

export function channelOf(line: number, direction: Direction = 'in'): Channel<ReturnType<typeof gpio.pin.parse>> {
  const base = { key: `line ${line}`, kind: 'digital', direction, address: gpio.pin.parse({ gpio: line }) } as const;
  return { ...base, debounceMs: 0 };
}

/** Opens a port on inputs; `changed` gets every reading that it tells, the first ones too. */
export async function openPort(
  backend: string,
  lines: readonly number[],
  run: Run,
  changed: (reading: Reading) => void,
): Promise<Port> {
  const options = gpio.options.parse({ chip: LABEL, backend });
  const opened = await gpio.open(
    options,
    lines.map((line) => channelOf(line)),
    run.contextWith(changed),
  );
  if (opened.kind === 'skipped') throw new Error(opened.reason);
  return opened.port;
}

/** Makes edges on lines of the chip and measures the CPU this process takes meanwhile. */
export async function drive(
  run: Run,
  edges: string,
  chip: SimChip,
  lines: readonly number[],
  count: number,
  rate: number,
) {
  await pause(500);
  const before = process.cpuUsage();
  const files = lines.map((line) => chip.pullFile(line));
  await once(spawn(edges, [String(count), String(rate), ...files], { stdio: 'inherit' }), 'exit');
  await pause(500);
  const used = process.cpuUsage(before);
  run.cpuMs = (used.user + used.system) / 1000;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

export const us = (seconds: number) => (Number.isNaN(seconds) ? '-' : (seconds * 1e6).toFixed(0)).padStart(7);
