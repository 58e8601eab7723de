// Lines through one pty: this driver beside a bare serialport with its ReadlineParser, each in a process of its own.
// Prints lines a second, what was lost, how memory grew, and the time from a line's last byte to its listener: medians of
// runs taken in turn, because a machine that is busy for a while would else slow one way and not the others.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { serial } from '../../drivers/serial/driver.ts';
import { systemClock } from '../../src/clock/clock.ts';
import type { PortContext } from '../../src/driver/contract.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const LINES = 600_000;
const PINGS = 2000;
const me = fileURLToPath(import.meta.url);
const quiet = () => undefined;

/** Opens the port one way or the other and calls `onLine` with each line. */
async function receive(way: string, path: string, onLine: (line: string) => void): Promise<void> {
  if (way === 'bare') {
    const { SerialPort, ReadlineParser } = await import('serialport');
    const port = new SerialPort({ path, baudRate: 115200, autoOpen: false });
    port.pipe(new ReadlineParser({ delimiter: '\n' })).on('data', (line: string) => onLine(line));
    await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())));
    return;
  }
  const pin = serial.pin.parse({ match: '^L(\\d+)$' });
  const options = serial.options.parse({ path, line: '115200-8N1' });
  const { key = '', kind } = serial.describe(pin, options);
  const channel = { key, kind, direction: 'in', address: pin, debounceMs: 0 } as const;
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const changed: PortContext['changed'] = (_channel, reading) => {
    if (reading.ok) onLine(`L${reading.value}`);
  };
  const context = { clock: systemClock, log, down: quiet, count: quiet, changed };
  // `frames`: as the bare one, lines as text; `pin`: every line also matched and told to a pin.
  const opened = await serial.open(options, way === 'pin' ? [channel] : [], context);
  if (opened.kind === 'skipped') throw new Error(opened.reason);
  if (way === 'pin') return;
  opened.port.stream?.onFrame(({ buffer, byteOffset, byteLength }) => {
    onLine(Buffer.from(buffer, byteOffset, byteLength).toString());
  });
}

/** The receiving process: answers `P…` lines' arrival times, counts `L…` lines. */
async function child(way: string, path: string): Promise<void> {
  let count = 0;
  let wrong = 0;
  let first = 0;
  let before = 0;
  await receive(way, path, (line) => {
    if (Number(line.slice(1)) !== count) wrong++;
    count++;
    if (count <= PINGS) {
      process.send?.({ at: process.hrtime.bigint().toString() });
      return;
    }
    if (count === PINGS + 1) {
      first = performance.now();
      before = process.memoryUsage().rss;
    }
    if (count === PINGS + LINES) {
      const seconds = (performance.now() - first) / 1000;
      const grown = (process.memoryUsage().rss - before) / 1e6;
      process.send?.({ done: { rate: (LINES - 1) / seconds, wrong, grown } });
    }
  });
  process.send?.({ ready: true });
}

interface Result {
  rate: number;
  wrong: number;
  grown: number;
  latency: number[];
}

async function measure(way: string): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-bench-'));
  const [near, far] = [join(folder, 'near'), join(folder, 'far')];
  const socat = spawn('socat', ['-b', '65536', `pty,raw,echo=0,link=${near}`, `pty,raw,echo=0,link=${far}`]);
  while (!existsSync(near) || !existsSync(far)) await pause(10);
  const receiver: ChildProcess = spawn(process.execPath, [me, way, near], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const fd = openSync(far, constants.O_RDWR | constants.O_NOCTTY);
  try {
    return await converse(receiver, fd);
  } finally {
    receiver.kill('SIGKILL');
    socat.kill('SIGKILL');
    closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}

function converse(receiver: ChildProcess, fd: number): Promise<Result> {
  const latency: number[] = [];
  let serialNumber = 0;
  let sentAt = 0n;
  const ping = () => {
    sentAt = process.hrtime.bigint();
    writeSync(fd, `L${serialNumber++}\n`);
  };
  return new Promise((resolve, reject) => {
    receiver.once('exit', (code) => reject(new Error(`the receiver ended with ${code}`)));
    receiver.on('message', (message: { ready?: true; at?: string; done?: Omit<Result, 'latency'> }) => {
      // The first line counts for a pin only after a silence: it may have lost its beginning.
      if (message.ready) setTimeout(ping, 200);
      if (message.at !== undefined) {
        latency.push(Number(BigInt(message.at) - sentAt) / 1e6);
        if (serialNumber < PINGS) setTimeout(ping, 1);
        else flood();
      }
      if (message.done) resolve({ ...message.done, latency: latency.sort((a, b) => a - b) });
    });
    const flood = () => {
      // Blocking writes: the pty is kept full, so the receiver sets the pace.
      while (serialNumber < PINGS + LINES) {
        let text = '';
        for (let at = 0; at < 500 && serialNumber < PINGS + LINES; at++) text += `L${serialNumber++}\n`;
        for (let bytes = Buffer.from(text), at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      }
    };
  });
}

const [, , way, path] = process.argv;
if (way !== undefined && path !== undefined) await child(way, path);
else {
  const ways = ['bare', 'frames', 'pin'];
  const results = new Map<string, Result[]>(ways.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, runs] of results) runs.push(await measure(name));
  }
  const at = ({ latency }: Result, share: number) => latency[Math.floor(latency.length * share)] ?? Number.NaN;
  const of = (name: string, figure: (run: Result) => number) => median((results.get(name) ?? []).map(figure));
  console.log(`medians of ${ROUNDS} runs`);
  console.log('way     lines/s  of bare  wrong or lost  grown MB  p50 ms  of bare  p99 ms  of bare');
  for (const name of ways) {
    const rate = of(name, (run) => run.rate);
    const [p50, p99] = [of(name, (run) => at(run, 0.5)), of(name, (run) => at(run, 0.99))];
    const cells: (readonly [text: string, width: number])[] = [
      [rate.toFixed(0), 8],
      [(rate / of('bare', (run) => run.rate)).toFixed(2), 8],
      [String(Math.max(...(results.get(name) ?? []).map(({ wrong }) => wrong))), 14],
      [of(name, ({ grown }) => grown).toFixed(1), 9],
      [p50.toFixed(3), 7],
      [(p50 / of('bare', (run) => at(run, 0.5))).toFixed(2), 8],
      [p99.toFixed(3), 7],
      [(p99 / of('bare', (run) => at(run, 0.99))).toFixed(2), 8],
    ];
    console.log(`${name.padEnd(6)} ${cells.map(([text, width]) => text.padStart(width)).join(' ')}`);
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
