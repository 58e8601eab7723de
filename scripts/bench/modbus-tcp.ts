// Transactions a second over TCP: this driver's transactions beside modbus-serial and libmodbus, on the same libmodbus server.
import { spawn } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import modbusSerial from 'modbus-serial';
import { MbapTransport } from '../../drivers/modbus/transport/mbap-transport.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { openTcp } from '../../src/driver/kit/link.ts';

const READS = 40_000;
const quiet = () => undefined;

async function measure(name: string, inFlight: number, ask: (first: number) => Promise<unknown>) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let [next, failures] = [0, 0];
  delay.enable();
  const began = performance.now();
  const cpu = process.cpuUsage();
  const worker = async () => {
    while (next < READS) await ask(next++ % 1900).catch(() => failures++);
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  console.log(
    `${name.padEnd(14)} in flight ${String(inFlight).padEnd(3)} ${Math.round(READS / seconds)} a second, ${((user + system) / READS).toFixed(1)} ms CPU per 1000, event loop p99 ${(delay.percentile(99) / 1e6).toFixed(1)} ms${failures ? `, ${failures} failed` : ''}`,
  );
}

const server = spawn(process.argv[2] ?? '', { stdio: ['ignore', 'pipe', 'inherit'] });
const port = Number(
  await new Promise<string>((resolve) => server.stdout.once('data', (text: Buffer) => resolve(text.toString()))),
);
for (const inFlight of [1, 16]) {
  const transport = new MbapTransport(
    { clock: systemClock, unit: () => ({ timeoutMs: 1000, pauseMs: 0 }), concurrency: inFlight, datagrams: false },
    { count: quiet, unitReleased: quiet, down: quiet },
  );
  await transport.start((events) => openTcp({ host: '127.0.0.1', port }, systemClock, 2000, events));
  await measure('dcs-io', inFlight, (first) =>
    transport.transact({ kind: 'read', unit: 1, table: 'holding', first, count: 10 }),
  );
  await transport.close();
  const client = new modbusSerial.default();
  await client.connectTCP('127.0.0.1', { port });
  client.setTimeout(1000);
  client.setID(1);
  await measure('modbus-serial', inFlight, (first) => client.readHoldingRegisters(first, 10));
  await new Promise<void>((resolve) => client.close(() => resolve()));
}
for (const inFlight of [1, 16]) {
  const arguments_ = [port, READS, inFlight].map(String);
  const client = spawn(process.argv[3] ?? '', arguments_, { stdio: ['ignore', 'inherit', 'inherit'] });
  await new Promise((resolve) => client.once('exit', resolve));
}
server.kill();
