import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as uapi from '../../drivers/gpio/uapi.ts';

describe('gpio character device structures', () => {
  it('have the sizes that their request numbers carry', () => {
    const size = (request: number) => (request >>> 16) & 0x3fff;
    expect(uapi.chipInfoBuffer().length).toBe(size(uapi.CHIP_INFO));
    expect(uapi.lineInfoBuffer(0).length).toBe(size(uapi.LINE_INFO));
    expect(uapi.lineRequest([0], 'x', { flags: 0 }).length).toBe(size(uapi.GET_LINE));
    expect(uapi.lineConfig(1, { flags: 0 }).length).toBe(size(uapi.SET_CONFIG));
    expect(uapi.lineValues(0n, 0n).length).toBe(size(uapi.GET_VALUES));
    expect(uapi.lineValues(0n, 0n).length).toBe(size(uapi.SET_VALUES));
  });

  it('have the layout of <linux/gpio.h>', () => {
    const flags = uapi.flags.output | uapi.flags.openDrain;
    const request = uapi.lineRequest([17, 4], 'dcs-io', { flags, values: 2n, debounceUs: 5000 });
    expect(request.readUInt32LE(0)).toBe(17);
    expect(request.readUInt32LE(4)).toBe(4);
    expect(request.toString('latin1', 256, 263)).toBe('dcs-io\0');
    expect(request.readBigUInt64LE(288)).toBe(BigInt(flags));
    expect(request.readUInt32LE(296)).toBe(2);
    expect([request.readUInt32LE(320), request.readBigUInt64LE(328), request.readBigUInt64LE(336)]).toEqual([
      2,
      2n,
      3n,
    ]);
    expect([request.readUInt32LE(344), request.readBigUInt64LE(352), request.readBigUInt64LE(360)]).toEqual([
      3,
      5000n,
      3n,
    ]);
    expect(request.readUInt32LE(560)).toBe(2);
    expect(request.readUInt32LE(564)).toBe(1024);
  });

  it('give some lines other flags', () => {
    const { input, output } = uapi.flags;
    const config = uapi.lineConfig(3, { flags: output, values: 5n, except: { flags: input, mask: 2n } });
    expect([config.readBigUInt64LE(0), config.readUInt32LE(8)]).toEqual([BigInt(output), 2]);
    expect([config.readUInt32LE(32), config.readBigUInt64LE(40), config.readBigUInt64LE(48)]).toEqual([
      1,
      BigInt(input),
      2n,
    ]);
  });

  it('never let a consumer name run into its neighbour', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (name) => {
        const request = uapi.lineRequest([0], name, { flags: 0 });
        expect(request[256 + 31]).toBe(0);
        expect(request.readBigUInt64LE(288)).toBe(0n);
      }),
    );
  });

  it('allow as many lines as a mask has bits', () => {
    expect(uapi.allLines(1)).toBe(1n);
    expect(uapi.allLines(64)).toBe(0xffff_ffff_ffff_ffffn);
  });
});
