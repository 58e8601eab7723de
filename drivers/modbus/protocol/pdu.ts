import { functionOf, type Request } from './request.ts';

/** MEI type of 'read device identification' within function 43. */
export const MEI_IDENTIFY = 14;

/** The request's protocol data unit: function code and its fields, without unit, checksum or header. */
export function encodePdu(request: Request): Buffer {
  switch (request.kind) {
    case 'read':
      return fields(functionOf(request), request.first, request.count);
    case 'write-coil':
      return fields(5, request.at, request.on ? 0xff00 : 0x0000);
    case 'write-register':
      return fields(6, request.at, request.word);
    case 'write-coils': {
      const data = packBits(request.bits);
      return Buffer.concat([fields(15, request.first, request.bits.length), Buffer.from([data.length]), data]);
    }
    case 'write-registers':
      return Buffer.concat([
        fields(16, request.first, request.data.length / 2),
        Buffer.from([request.data.length]),
        request.data,
      ]);
    case 'mask-register':
      return fields(22, request.at, request.and, request.or);
    case 'read-write-registers':
      return Buffer.concat([
        fields(23, request.first, request.count, request.writeFirst, request.data.length / 2),
        Buffer.from([request.data.length]),
        request.data,
      ]);
    case 'identify':
      return Buffer.from([43, MEI_IDENTIFY, request.level, request.object]);
    case 'raw':
      return Buffer.concat([Buffer.from([request.fn]), request.data]);
  }
}

function fields(fn: number, ...words: number[]): Buffer {
  const pdu = Buffer.allocUnsafe(1 + 2 * words.length);
  pdu[0] = fn;
  words.forEach((word, index) => {
    pdu.writeUInt16BE(word, 1 + 2 * index);
  });
  return pdu;
}

/** Bits as Modbus packs them: the first in the lowest bit of the first byte, the last byte filled with zeros. */
export function packBits(bits: readonly boolean[]): Buffer {
  const data = Buffer.alloc(Math.ceil(bits.length / 8));
  bits.forEach((bit, index) => {
    if (bit) data[index >> 3] = (data[index >> 3] ?? 0) | (1 << (index & 7));
  });
  return data;
}

/** Bit `index` of packed bits. */
export function bitAt(data: Buffer, index: number): boolean {
  return (((data[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
}
