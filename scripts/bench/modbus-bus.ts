// How full a serial bus is kept, with the time each read takes at least as the measure. See `scripts/bench/modbus`.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import modbusSerial from 'modbus-serial';
import { planLimits, readTime } from '../../drivers/modbus/bus-time.ts';
import { modbus } from '../../drivers/modbus/driver.ts';
import { planBlocks } from '../../drivers/modbus/schedule/plan.ts';
import { lineTiming } from '../../drivers/modbus/transport/line-timing.ts';
import { systemClock } from '../../src/clock/clock.ts';

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

/** Ours: everything polled as fast as the bus allows. */
async function ours(path: string, baud: number, tags: readonly number[]) {
  const options = modbus.options.parse({ serial: path, line: `${baud}-8N1`, poll: '1ms', timeout: '1s' });
  let overrun = 0;
  const channels = tags.map((holding) => {
    const address = modbus.pin.parse({ holding, base: 0 });
    const { key = '', kind } = modbus.describe(address, options);
    return { key, kind, direction: 'in', address, debounceMs: 0 } as const;
  });
  const context = {
    clock: systemClock,
    log,
    down: quiet,
    count: (name: string, by = 1) => {
      if (name === 'polls_overrun') overrun += by;
    },
  };
  const opened = await modbus.open(options, channels, context);
  if (opened.kind === 'skipped') throw new Error(opened.reason);
  const timing = lineTiming(options.line);
  const spans = channels.map(({ address }) => ({ unit: 1, table: 'holding' as const, first: address.first, count: 1 }));
  const blocks = planBlocks(spans, (span) => span, planLimits(undefined, timing, 0)).map(({ span }) => span);
  const round = blocks.reduce((sum, span) => sum + readTime(span, timing, 0), 0);
  // The driver learns how long the device thinks (not at all) from its first replies.
  for (let asked = 0; asked < 40; asked += blocks.length) await opened.port.read(channels);
  let rounds = 0;
  const began = performance.now();
  const cpu = process.cpuUsage();
  while (performance.now() - began < 1000 * SECONDS) {
    await opened.port.read(channels);
    rounds++;
  }
  const wall = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  await opened.port.close();
  return {
    utilisation: (rounds * round) / wall,
    roundMs: wall / rounds,
    requests: blocks.length,
    round,
    overrun,
    cpu: (user + system) / 1000 / wall,
  };
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
  'baud    registers          requests  round ms  utilisation  plan  CPU   modbus-serial round ms: a tag a request / by hand in blocks',
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
    const blocks: Span[] = [];
    if (step === 1)
      for (let first = 0; first < count; first += 125) blocks.push({ first, count: Math.min(125, count - first) });
    const hand = blocks.length === 0 ? undefined : await withLine(baud, (path) => theirs(path, baud, blocks));
    const plan = bestRound(tags, baud) / found.round;
    console.log(
      `${String(baud).padEnd(7)} ${label.padEnd(18)} ${String(found.requests).padEnd(9)} ${found.roundMs.toFixed(1).padEnd(9)} ${found.utilisation.toFixed(3).padEnd(12)} ${plan.toFixed(3)} ${(100 * found.cpu).toFixed(0).padStart(3)} %  ${naive ? naive.roundMs.toFixed(1) : '-'} / ${hand ? hand.roundMs.toFixed(1) : '-'}`,
    );
  }
}
