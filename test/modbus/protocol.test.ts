import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeMbap, type MbapFrame, MbapReader } from '../../drivers/modbus/protocol/mbap.ts';
import { matchReply } from '../../drivers/modbus/protocol/reply.ts';
import type { Request } from '../../drivers/modbus/protocol/request.ts';
import { bitAt, encodePdu, packBits } from '../../drivers/modbus/protocol/request.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('protocol data units', () => {
  // The worked examples of the Modbus application protocol specification 1.1b3, section 6.
  it.each<[string, Request, string, string]>([
    ['read coils', { kind: 'read', unit: 1, table: 'coil', first: 19, count: 19 }, '01 0013 0013', '01 03 cd 6b 05'],
    ['discrete', { kind: 'read', unit: 1, table: 'discrete', first: 196, count: 22 }, '02 00c4 0016', '02 03 ac db 35'],
    [
      'holding',
      { kind: 'read', unit: 1, table: 'holding', first: 107, count: 3 },
      '03 006b 0003',
      '03 06 022b00000064',
    ],
    ['input', { kind: 'read', unit: 1, table: 'input', first: 8, count: 1 }, '04 0008 0001', '04 02 000a'],
    ['write coil', { kind: 'write-coil', unit: 1, at: 172, on: true }, '05 00ac ff00', '05 00ac ff00'],
    ['write register', { kind: 'write-register', unit: 1, at: 1, word: 3 }, '06 0001 0003', '06 0001 0003'],
    [
      'write coils',
      { kind: 'write-coils', unit: 1, first: 19, bits: [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].map(Boolean) },
      '0f 0013 000a 02 cd01',
      '0f 0013 000a',
    ],
    [
      'write registers',
      { kind: 'write-registers', unit: 1, first: 1, data: hex('000a 0102') },
      '10 0001 0002 04 000a 0102',
      '10 0001 0002',
    ],
    ['mask', { kind: 'mask-register', unit: 1, at: 4, and: 0xf2, or: 0x25 }, '16 0004 00f2 0025', '16 0004 00f2 0025'],
    [
      'read and write',
      { kind: 'read-write-registers', unit: 1, first: 3, count: 6, writeFirst: 14, data: hex('00ff 00ff 00ff') },
      '17 0003 0006 000e 0003 06 00ff00ff00ff',
      '17 0c 00fe 0acd 0001 0003 000d 00ff',
    ],
    ['identify', { kind: 'identify', unit: 1, level: 1, object: 0 }, '2b 0e 01 00', '2b 0e 01 01 00 00 00'],
  ])('%s is as in the specification, both ways', (_name, request, sent, received) => {
    expect(encodePdu(request).toString('hex')).toBe(hex(sent).toString('hex'));
    expect(matchReply(request, hex(received)).kind).toBe('data');
  });

  it('a reply with a changed, missing or added byte outside the data is a mismatch', () => {
    const read: Request = { kind: 'read', unit: 1, table: 'holding', first: 0, count: 3 };
    const good = hex('03 06 022b00000064');
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 12 }), (bytes) => {
        const pdu = Buffer.from(bytes);
        const match = matchReply(read, pdu);
        if (pdu.length === good.length && pdu[0] === 3 && pdu[1] === 6) expect(match.kind).toBe('data');
        else if (pdu.length === 2 && pdu[0] === 0x83) expect(match.kind).toBe('exception');
        else expect(match.kind).toBe('mismatch');
      }),
    );
    const write: Request = { kind: 'write-register', unit: 1, at: 1, word: 3 };
    const echo = encodePdu(write);
    for (let at = 0; at < echo.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const wrong = Buffer.from(echo);
        wrong[at] = (wrong[at] ?? 0) ^ (1 << bit);
        expect(matchReply(write, wrong).kind).toBe('mismatch');
      }
    }
  });

  it('bits stay the same through packing', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 2000 }), (bits) => {
        const packed = packBits(bits);
        expect(packed.length).toBe(Math.ceil(bits.length / 8));
        expect(bits.map((_, index) => bitAt(packed, index))).toEqual(bits);
      }),
    );
  });
});

describe('the frames of Modbus TCP', () => {
  const frames = fc.array(
    fc.record({
      id: fc.integer({ min: 0, max: 0xffff }),
      unit: fc.integer({ min: 0, max: 255 }),
      pdu: fc.uint8Array({ minLength: 1, maxLength: 253 }).map((bytes) => Buffer.from(bytes)),
    }),
    { maxLength: 8 },
  );

  it('are found however the stream is split', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, pieces) => {
        const stream = Buffer.concat(sent.map(({ id, unit, pdu }) => encodeMbap(id, unit, pdu)));
        const reader = new MbapReader();
        const got: MbapFrame[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = pieces[turn % pieces.length] ?? 1;
          expect(reader.push(stream.subarray(at, at + size), (frame) => got.push(frame))).toBeUndefined();
          at += size;
        }
        expect(got).toEqual(sent);
        expect(reader.partial).toBe(false);
      }),
    );
  });

  it.each([
    [1, 6],
    [0, 0],
    [0, 1],
    [0, 255],
    [0, 0xffff],
  ])('protocol %i with length %i ends the trust in the stream', (protocol, length) => {
    const header = Buffer.alloc(8);
    header.writeUInt16BE(protocol, 2);
    header.writeUInt16BE(length, 4);
    expect(new MbapReader().push(header, () => {})).toBeTypeOf('string');
  });
});
