import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Libc, loadLibc } from '../../drivers/gpio/libc.ts';
import { EdgePoller, type EventSink } from '../../drivers/gpio/poller.ts';
import { leasePoller } from '../../drivers/gpio/shared-poller.ts';
import { EVENT_BYTES } from '../../drivers/gpio/uapi.ts';
import { until } from '../support/wait.ts';

const folders: string[] = [];
const pollers: EdgePoller[] = [];

/** A pipe stands in for a line: what is written into it are the kernel's event structures. */
function pipe(libc: Libc): { reader: number; writer: number } {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-poller-'));
  folders.push(folder);
  const path = join(folder, 'events');
  execFileSync('mkfifo', [path]);
  // Opened for both: a pipe with one end only would block or hang up.
  const reader = openSync(path, 'r+');
  const writer = openSync(path, 'r+');
  libc.setNonBlocking(reader);
  return { reader, writer };
}

function events(from: number, count: number): Buffer {
  const buffer = Buffer.alloc(count * EVENT_BYTES);
  for (let n = 0; n < count; n++) {
    buffer.writeUInt32LE((from + n) % 2 === 0 ? 1 : 2, n * EVENT_BYTES + 8);
    buffer.writeUInt32LE(from + n + 1, n * EVENT_BYTES + 20);
  }
  return buffer;
}

function collector(): EventSink & { seqnos: number[]; ends: string[] } {
  const seqnos: number[] = [];
  const ends: string[] = [];
  return {
    seqnos,
    ends,
    event: ({ lineSeqno }) => void seqnos.push(lineSeqno),
    ended: (error) => void ends.push(error.code),
  };
}

async function start(ringEvents?: number): Promise<{ libc: Libc; poller: EdgePoller }> {
  const libc = await loadLibc();
  const poller = await EdgePoller.start(libc, ringEvents);
  pollers.push(poller);
  return { libc, poller };
}

afterEach(async () => {
  for (const poller of pollers.splice(0)) await poller.end();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

describe('polling thread', () => {
  it('brings the events of several descriptors to their own listeners, in order', async () => {
    const { libc, poller } = await start();
    const lines = [pipe(libc), pipe(libc)];
    const sinks = lines.map(({ reader }) => {
      const sink = collector();
      return { sink, token: poller.watch(reader, sink) };
    });
    for (let n = 0; n < 500; n += 10) for (const { writer } of lines) writeSync(writer, events(n, 10));
    for (const { sink } of sinks) await until('500 events', () => sink.seqnos.length === 500);
    for (const { sink } of sinks) expect(sink.seqnos).toEqual(Array.from({ length: 500 }, (_, n) => n + 1));
    for (const { token } of sinks) await poller.close(token);
    for (const { writer } of lines) closeSync(writer);
  });

  it('leaves events where they are while its ring is full, and loses none', async () => {
    const { libc, poller } = await start(16);
    const { reader, writer } = pipe(libc);
    const sink = collector();
    const token = poller.watch(reader, sink);
    writeSync(writer, events(0, 1000));
    await until('1000 events', () => sink.seqnos.length === 1000);
    expect(sink.seqnos).toEqual(Array.from({ length: 1000 }, (_, n) => n + 1));
    await poller.close(token);
    closeSync(writer);
  });

  it('tells nothing once closing was asked for, and closes the descriptor', async () => {
    const { libc, poller } = await start();
    const { reader, writer } = pipe(libc);
    const sink = collector();
    const token = poller.watch(reader, sink);
    writeSync(writer, events(0, 5));
    await poller.close(token);
    const before = sink.seqnos.length;
    writeSync(writer, events(5, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(sink.seqnos.length).toBe(before);
    expect(() => libc.setNonBlocking(reader)).toThrow(/EBADF/);
    closeSync(writer);
  });

  it('says so when a descriptor hangs up, once, and goes on with the others', async () => {
    const { libc, poller } = await start();
    const dead = libc.pipe();
    const good = pipe(libc);
    const sinks = [collector(), collector()];
    const [first, second] = sinks;
    if (!first || !second) throw new Error('two sinks');
    const tokens = [poller.watch(dead.reader, first), poller.watch(good.reader, second)];
    closeSync(dead.writer);
    await until('the hangup', () => first.ends.length > 0);
    writeSync(good.writer, events(0, 3));
    await until('the other’s events', () => second.seqnos.length === 3);
    expect(first.ends).toEqual(['PORT_DOWN']);
    expect(second.ends).toEqual([]);
    for (const token of tokens) await poller.close(token);
    closeSync(good.writer);
  });

  it('tells everybody when it ends', async () => {
    const { libc, poller } = await start();
    const { reader, writer } = pipe(libc);
    const sink = collector();
    poller.watch(reader, sink);
    await poller.end();
    expect(sink.ends).toEqual(['PORT_DOWN']);
    expect(poller.alive).toBe(false);
    closeSync(writer);
    closeSync(reader);
  });

  it('is one for all chips, and a new one after it has died', async () => {
    const libc = await loadLibc();
    const [first, second] = await Promise.all([leasePoller(libc), leasePoller(libc)]);
    expect(first.poller).toBe(second.poller);
    await first.poller.end();
    const third = await leasePoller(libc);
    expect(third.poller).not.toBe(first.poller);
    expect(third.poller.alive).toBe(true);
    pollers.push(third.poller);
    for (const lease of [first, second, third]) lease.release();
  });

  it.each([
    ['lets the process end once nobody uses it', 'release', 0],
    ['does not hold up a process that exits while it waits', 'exit', 3],
  ])('%s', (_, how, status) => {
    const script = new URL('support/poller-process.ts', import.meta.url).pathname;
    const jiti = import.meta.resolve('jiti/register');
    const ended = spawnSync(process.execPath, ['--import', jiti, script, how], { timeout: 15_000, encoding: 'utf8' });
    expect(ended.stdout).toMatch(/^used for \d+ ms/);
    expect({ status: ended.status, signal: ended.signal, stderr: ended.stderr }).toEqual({
      status,
      signal: null,
      stderr: '',
    });
  });
});
