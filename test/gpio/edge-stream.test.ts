import { closeSync, readlinkSync, writeSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type EdgeListener, EdgeStream } from '../../drivers/gpio/edges.ts';
import { EVENT_BYTES } from '../../drivers/gpio/uapi.ts';
import { loadLibc } from '../../src/linux/libc.ts';
import { until } from '../support/wait.ts';

const libc = await loadLibc('this test');
const STAMP = 1_800_000_000_000_000_000n;
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** Events as the kernel writes them, numbered from `from` on. */
function events(from: number, count: number): Buffer {
  const buffer = Buffer.alloc(count * EVENT_BYTES);
  for (let n = 0; n < count; n++) {
    const at = n * EVENT_BYTES;
    buffer.writeBigUInt64LE(STAMP + BigInt(from + n), at);
    buffer.writeUInt32LE((from + n) % 2 === 0 ? 1 : 2, at + 8);
    buffer.writeUInt32LE((from + n) % 64, at + 12);
    buffer.writeUInt32LE(99, at + 16);
    buffer.writeUInt32LE(from + n + 1, at + 20);
  }
  return buffer;
}

function collector(): EdgeListener & { seqnos: number[]; ends: string[] } {
  const seqnos: number[] = [];
  const ends: string[] = [];
  return {
    seqnos,
    ends,
    event: ({ lineSeqno }) => void seqnos.push(lineSeqno),
    ended: (error) => void ends.push(error.message),
  };
}

/** A stream on a pipe, which stands in for a line request: what is written into it are the kernel's event structures. */
function open(sink: EdgeListener): { stream: EdgeStream; writer: number } {
  const { reader, writer } = libc.pipe();
  const stream = new EdgeStream(libc, reader, sink);
  ends.push(() => stream.close());
  return { stream, writer };
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n + 1);

describe('edge stream', () => {
  it('passes the edges of several requests to their own listeners, each once and in order', async () => {
    const lines = [0, 1, 2].map(() => {
      const sink = collector();
      return { sink, ...open(sink) };
    });
    for (let n = 0; n < 500; n += 10) for (const { writer } of lines) writeSync(writer, events(n, 10));
    for (const { sink } of lines) await until('500 events', () => sink.seqnos.length === 500);
    for (const { sink, writer } of lines) {
      expect(sink.seqnos).toEqual(numbers(500));
      closeSync(writer);
    }
  });

  it('passes every edge, however many come at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 6 }), async (bursts) => {
        const sink = collector();
        const { stream, writer } = open(sink);
        let sent = 0;
        for (const burst of bursts) {
          writeSync(writer, events(sent, burst));
          sent += burst;
        }
        await until(`${sent} events`, () => sink.seqnos.length === sent);
        expect(sink.seqnos).toEqual(numbers(sent));
        await stream.close();
        closeSync(writer);
      }),
      { numRuns: 30 },
    );
  });

  it('decodes line, edge, number and time to the nanosecond', async () => {
    const seen: object[] = [];
    const { writer } = open({
      event: ({ offset, rising, lineSeqno, nsHigh, nsLow }) => {
        seen.push({ offset, rising, lineSeqno, ns: (BigInt(nsHigh) << 32n) + BigInt(nsLow) });
      },
      ended() {},
    });
    writeSync(writer, events(5, 2));
    await until('both', () => seen.length === 2);
    expect(seen).toEqual([
      { offset: 5, rising: false, lineSeqno: 6, ns: STAMP + 5n },
      { offset: 6, rising: true, lineSeqno: 7, ns: STAMP + 6n },
    ]);
    closeSync(writer);
  });

  it('passes nothing after close, not even events already read, and closes the descriptor', async () => {
    const seqnos: number[] = [];
    let stream: EdgeStream | undefined;
    const opened = open({
      event: ({ lineSeqno }) => {
        seqnos.push(lineSeqno);
        if (lineSeqno === 3) void stream?.close();
      },
      ended: () => void seqnos.push(-1),
    });
    stream = opened.stream;
    writeSync(opened.writer, events(0, 10));
    await until('three', () => seqnos.length >= 3);
    await stream.close();
    // A pipe without a reader: the kernel has it back.
    expect(() => writeSync(opened.writer, events(10, 1))).toThrow(/EPIPE/);
    expect(seqnos).toEqual([1, 2, 3]);
    closeSync(opened.writer);
  });

  it('closes the descriptor it was given and goes on with its own', () => {
    const { reader, writer } = libc.pipe();
    const pipe = readlinkSync(`/proc/self/fd/${reader}`);
    const stream = new EdgeStream(libc, reader, collector());
    ends.push(() => stream.close());
    expect(stream.fd).not.toBe(reader);
    expect(readlinkSync(`/proc/self/fd/${stream.fd}`)).toBe(pipe);
    expect(() => libc.setNonBlocking(reader)).toThrow(/EBADF/);
    closeSync(writer);
  });

  it('reports the end once, and other streams go on', async () => {
    const [dead, good] = [collector(), collector()];
    const first = open(dead);
    const second = open(good);
    closeSync(first.writer);
    await until('the end', () => dead.ends.length > 0);
    writeSync(second.writer, events(0, 3));
    await until('the other’s events', () => good.seqnos.length === 3);
    expect(dead.ends).toHaveLength(1);
    expect(good.ends).toEqual([]);
    closeSync(second.writer);
  });

  it('leaves the descriptor to the caller when it cannot be watched', () => {
    expect(() => new EdgeStream(libc, 999_999, collector())).toThrow(/EBADF/);
  });
});
