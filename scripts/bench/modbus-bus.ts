// How full a serial bus is kept, with the time each read takes at least as the measure. See `scripts/bench/modbus`.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import modbusSerial from 'modbus-serial';
import { modbus } from '../../drivers/modbus/driver.ts';
import { readLimits } from '../../drivers/modbus/quirks.ts';
import { lineTiming, readGap, readTime } from '../../drivers/modbus/transport/line-timing.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { planBlocks } from '../../src/driver/kit/block-planner.ts';

const SECONDS = Number(process.argv[2] ?? 4);
const quiet = () => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

interface Span {
  readonly first: number;
  readonly count: number;
}

async function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => child.stdout?.once('data', (text: Buffer) => resolve(text.toString().trim())));
}

async function withLine<T>(baud: number, work: (path: string) => Promise<T>): Promise<T> {
  const slave = spawn(
    process.execPath,
    [fileURLToPath(new URL('./modbus-slave.js', import.meta.url)), String(baud), '0'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-bench-'));
  const path = join(folder, 'tty');
  const port = await firstLine(slave);
  const socat = spawn('socat', [`pty,raw,echo=0,link=${path}`, `tcp:127.0.0.1:${port},nodelay`], { stdio: 'inherit' });
  while (!existsSync(path)) await pause(10);
  try {
    return await work(path);
  } finally {
    socat.kill();
    slave.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Ours: everything read as fast as the bus allows. The port's own polls are far apart and the first of them over, so that
 * every read is counted.
 */
async function ours(path: string, baud: number, tags: readonly number[], units = 1) {
  const options = modbus.options.parse({ serial: path, line: `${baud}-8N1`, poll: '1h', timeout: '1s' });
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  const channels = Array.from({ length: units }, (_, unit) =>
    tags.map((holding) => {
      const address = modbus.pin.parse({ holding, base: 0, unit: unit + 1 });
      const { key = '', kind } = modbus.describe(address, options);
      return { key, kind, direction: 'in', address, debounceMs: 0 } as const;
    }),
  ).flat();
  let unread = channels.length;
  const context = {
    changed: () => unread--,
    clock: systemClock,
    log,
    down: quiet,
    count: quiet,
  };
  const opened = await modbus.open(options, channels, context);
  if (opened.kind === 'skipped') throw new Error(opened.reason);
  const timing = lineTiming(options.line);
  const blocks = planOf(tags, baud);
  const requests = units * blocks.length;
  const round = units * blocks.reduce((sum, span) => sum + readTime(span, timing, 0), 0);
  while (unread > 0) await pause(20);
  // The driver learns how long the device thinks (not at all) from its first replies.
  for (let asked = 0; asked < 40 * units; asked += requests) await opened.port.read(channels);
  globalThis.gc?.();
  const bytes = (process.memoryUsage().heapUsed - heap) / channels.length;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let rounds = 0;
  const began = performance.now();
  const cpu = process.cpuUsage();
  while (performance.now() - began < 1000 * SECONDS) {
    await opened.port.read(channels);
    rounds++;
  }
  const wall = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  await opened.port.close();
  return {
    utilisation: (rounds * round) / wall,
    roundMs: wall / rounds,
    requests,
    round,
    bytes,
    delayMs: delay.percentile(99) / 1e6,
    cpu: (user + system) / 1000 / wall,
  };
}

/** The reads that the driver plans once it knows that the device does not think at all. */
function planOf(tags: readonly number[], baud: number) {
  const timing = lineTiming({ baud, dataBits: 8, parity: 'none', stopBits: 1 });
  const spans = tags.map((first) => ({ unit: 1, table: 'holding' as const, first, count: 1 }));
  return planBlocks(spans, (span) => span, readLimits({ table: 'holding' }, readGap(timing, 0), undefined)).map(
    ({ span }) => span,
  );
}

/** modbus-serial with these reads, one after the other, without the gap the standard asks for. */
async function theirs(path: string, baud: number, reads: readonly Span[]) {
  const client = new modbusSerial.default();
  await client.connectRTUBuffered(path, { baudRate: baud });
  client.setTimeout(1000);
  client.setID(1);
  const began = performance.now();
  let [rounds, failures] = [0, 0];
  while (performance.now() - began < 1000 * SECONDS) {
    for (const { first, count } of reads) await client.readHoldingRegisters(first, count).catch(() => failures++);
    rounds++;
  }
  const wall = performance.now() - began;
  await new Promise<void>((resolve) => client.close(() => resolve()));
  return { roundMs: wall / rounds, failures };
}

/** The cheapest cover in time, found without the planner: shortest path over the tags, costs by the line's formula. */
function bestRound(tags: readonly number[], baud: number): number {
  const timing = lineTiming({ baud, dataBits: 8, parity: 'none', stopBits: 1 });
  const best = [0];
  for (let last = 0; last < tags.length; last++) {
    let least = Number.POSITIVE_INFINITY;
    for (let from = last; from >= 0; from--) {
      const count = (tags[last] ?? 0) - (tags[from] ?? 0) + 1;
      if (count > 125) break;
      least = Math.min(least, (best[from] ?? 0) + readTime({ unit: 1, table: 'holding', first: 0, count }, timing, 0));
    }
    best.push(least);
  }
  return best[tags.length] ?? 0;
}

console.log(
  'baud    registers          requests  round ms  utilisation  plan  CPU  loop p99  modbus-serial round ms: a tag a request / by hand in blocks',
);
for (const baud of [9600, 19_200, 115_200]) {
  for (const [label, count, step] of [
    ['1', 1, 1],
    ['10 contiguous', 10, 1],
    ['10 scattered', 10, 37],
    ['100 contiguous', 100, 1],
    ['100 scattered', 100, 7],
    ['1000 contiguous', 1000, 1],
  ] as const) {
    const tags = Array.from({ length: count }, (_, index) => index * step);
    const found = await withLine(baud, (path) => ours(path, baud, tags));
    const naive =
      count > 100
        ? undefined
        : await withLine(baud, (path) =>
            theirs(
              path,
              baud,
              tags.map((first) => ({ first, count: 1 })),
            ),
          );
    // What a person would put together by hand at best: our own plan.
    const hand = await withLine(baud, (path) => theirs(path, baud, planOf(tags, baud)));
    const plan = bestRound(tags, baud) / found.round;
    console.log(
      `${String(baud).padEnd(7)} ${label.padEnd(18)} ${String(found.requests).padEnd(9)} ${found.roundMs.toFixed(1).padEnd(9)} ${found.utilisation.toFixed(3).padEnd(12)} ${plan.toFixed(3)} ${(100 * found.cpu).toFixed(0).padStart(3)} %  ${found.delayMs.toFixed(1).padEnd(8)} ${naive ? naive.roundMs.toFixed(1) : '-'} / ${hand.roundMs.toFixed(1)}`,
    );
  }
}
for (const baud of [19_200, 115_200]) {
  const tags = Array.from({ length: 20 }, (_, tag) => tag);
  const found = await withLine(baud, (path) => ours(path, baud, tags, 50));
  console.log(
    `${baud}: 1000 tags on 50 units: ${found.requests} requests, ${found.roundMs.toFixed(0)} ms a round, utilisation ${found.utilisation.toFixed(3)}, ${(100 * found.cpu).toFixed(0)} % CPU, ${(found.bytes / 1000).toFixed(1)} kB a tag, event loop p99 ${found.delayMs.toFixed(1)} ms`,
  );
}
