import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRingMemory, EventRing } from '../../drivers/gpio/event-ring.ts';
import { EVENT_BYTES } from '../../drivers/gpio/uapi.ts';

/** An event as the kernel writes it. */
function encode(seqno: number, rising = true): Buffer {
  const buffer = Buffer.alloc(EVENT_BYTES);
  buffer.writeBigUInt64LE(1_800_000_000_000_000_000n + BigInt(seqno), 0);
  buffer.writeUInt32LE(rising ? 1 : 2, 8);
  buffer.writeUInt32LE(seqno % 64, 12);
  buffer.writeUInt32LE(seqno, 16);
  buffer.writeUInt32LE(seqno, 20);
  return buffer;
}

function pair(events: number): [EventRing, EventRing] {
  const memory = createRingMemory(events);
  return [new EventRing(memory), new EventRing(memory)];
}

/** Writes as many of the events as there is space for; how many that were. */
function write(ring: EventRing, from: number, count: number): number {
  const space = ring.space();
  const fits = Math.min(count, space.length / EVENT_BYTES);
  for (let n = 0; n < fits; n++) space.set(encode(from + n), n * EVENT_BYTES);
  ring.wrote(fits * EVENT_BYTES, 7);
  return fits;
}

describe('event ring', () => {
  it('hands over every event once, in order, however writing and reading interleave', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(20), fc.nat(20)), { maxLength: 60 }), (turns) => {
        const [writer, reader] = pair(16);
        let written = 0;
        const seen: number[] = [];
        for (const [count, limit] of turns) {
          written += write(writer, written, count);
          reader.drain(limit, (event) => seen.push(event.lineSeqno));
        }
        while (reader.drain(100, (event) => seen.push(event.lineSeqno))) {}
        expect(seen).toEqual(Array.from({ length: written }, (_, n) => n));
      }),
    );
  });

  it('carries what the kernel wrote, and which descriptor it came from', () => {
    const [writer, reader] = pair(4);
    const space = writer.space();
    space.set(encode(5, false));
    expect(writer.wrote(EVENT_BYTES, 42)).toBe(true);
    reader.drain(1, ({ token, offset, rising, lineSeqno, nsHigh, nsLow }) => {
      expect({ token, offset, rising, lineSeqno }).toEqual({ token: 42, offset: 5, rising: false, lineSeqno: 5 });
      expect((BigInt(nsHigh) << 32n) + BigInt(nsLow)).toBe(1_800_000_000_000_000_005n);
    });
  });

  it('wakes the reader once for all that waits, and again after it has looked', () => {
    const [writer, reader] = pair(8);
    writer.space().set(encode(0));
    expect(writer.wrote(EVENT_BYTES, 1)).toBe(true);
    writer.space().set(encode(1));
    expect(writer.wrote(EVENT_BYTES, 1)).toBe(false);
    reader.drain(10, () => {});
    writer.space().set(encode(2));
    expect(writer.wrote(EVENT_BYTES, 1)).toBe(true);
  });

  it('has no space when it is full, and tells the reader that the writer waits', () => {
    const [writer, reader] = pair(4);
    expect(write(writer, 0, 9)).toBe(4);
    expect(writer.space().length).toBe(0);
    writer.starve();
    expect(reader.drain(1, () => {})).toBe(true);
    expect(reader.fed()).toBe(true);
    expect(reader.fed()).toBe(false);
    expect(writer.space().length).toBe(EVENT_BYTES);
  });
});
