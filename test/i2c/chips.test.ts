import { describe, expect, it } from 'vitest';
import { BusOwner, chipAccess } from '../../drivers/i2c/bus.ts';
import { bme280, compensate, sensirionCrc, sht3x } from '../../drivers/i2c/chips/climate.ts';
import { ads1115, mcp3424, mcp4725 } from '../../drivers/i2c/chips/converters.ts';
import { glyph, ssd1306 } from '../../drivers/i2c/chips/ssd1306.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { RegisterChip, SimBus, type SimChip } from './sim-bus.ts';

function bench(chip: SimChip) {
  const bus = new SimBus();
  bus.chips.set(0x40, chip);
  const clock = new ManualClock();
  const owner = new BusOwner(bus, []);
  return { bus, clock, access: chipAccess(owner, { address: 0x40 }, clock) };
}

/** The worked example of the BMP280 data sheet (BST-BMP280-DS001, 3.12): same factors and formulas as the BME280's. */
const EXAMPLE = {
  t: [27504, 26435, -1000],
  p: [36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000],
  h: [75, 362, 0, 324, 50, 30],
};

describe('BME280', () => {
  it('compensates as the worked example of the data sheet', () => {
    const values = compensate({ temperature: 519888, pressure: 415148, humidity: undefined }, EXAMPLE);
    expect(values.get('temperature')).toBeCloseTo(25.08, 2);
    expect(values.get('pressure')).toBeCloseTo(1006.5327, 3);
  });

  it('reads its calibration from the registers of the data sheet, measures once, and leaves the bus free meanwhile', async () => {
    const chip = new RegisterChip();
    const factors = Buffer.alloc(26);
    for (const [at, value] of EXAMPLE.t.entries()) factors.writeInt16LE(value, 2 * at);
    for (const [at, value] of EXAMPLE.p.entries())
      factors.writeInt16LE(at === 0 ? value - 65_536 * Number(value > 32_767) : value, 6 + 2 * at);
    factors.writeUInt8(75, 25);
    chip.registers.set(factors, 0x88);
    // H2 362; H3 0; H4 324 = 0x144 and H5 50 = 0x032 share a register; H6 30.
    chip.registers.set([0x6a, 0x01, 0x00, 0x14, 0x24, 0x03, 30], 0xe1);
    chip.registers[0xd0] = 0x60;
    chip.registers.set([0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00, 0x7f, 0xff], 0xf7);
    const { access, clock, bus } = bench(chip);
    const made = bme280.make(access);
    await made.setUp();
    const reading = made.read(['temperature']);
    await clock.advance(9);
    const before = bus.transfers.length;
    expect(bus.transfers.at(-1)).toBe('40: f425 > 0');
    await clock.advance(1);
    expect(bus.transfers.length).toBeGreaterThan(before);
    const values = await reading;
    expect(values.get('temperature')).toBeCloseTo(25.08, 2);
    expect(values.get('pressure')).toBeCloseTo(1006.5327, 3);
    const humidity = compensate({ temperature: 519888, pressure: 415148, humidity: 0x7fff }, EXAMPLE).get('humidity');
    expect(values.get('humidity')).toBe(humidity);
    expect(humidity).toBeGreaterThan(0);
    expect(humidity).toBeLessThan(100);
  });

  it('gives no humidity when its measurement was skipped, as after a reset between the two settings', () => {
    const values = compensate({ temperature: 519888, pressure: 415148, humidity: 0x8000 }, EXAMPLE);
    expect([...values.keys()]).toEqual(['temperature', 'pressure']);
  });

  it('is not taken for another chip', async () => {
    await expect(bme280.make(bench(new RegisterChip()).access).setUp()).rejects.toThrow('is no BME280');
  });
});

describe('SHT3x', () => {
  it('has the checksum of the data sheet', () => expect(sensirionCrc(Uint8Array.of(0xbe, 0xef))).toBe(0x92));

  const answer = (bytes: number[]): SimChip => ({ transfer: (_write, length) => bytes.slice(0, length) });
  const words = (a: number, b: number) => {
    const bytes = [a >> 8, a & 0xff, b >> 8, b & 0xff];
    return [
      ...bytes.slice(0, 2),
      sensirionCrc(Uint8Array.from(bytes.slice(0, 2))),
      ...bytes.slice(2),
      sensirionCrc(Uint8Array.from(bytes.slice(2))),
    ];
  };

  it('gives temperature and humidity, and none at all with a wrong checksum', async () => {
    const right = bench(answer(words(0x6666, 0x8000)));
    const reading = sht3x.make(right.access).read(['temperature']);
    await right.clock.advance(20);
    expect((await reading).get('temperature')).toBeCloseTo(25, 2);
    expect((await reading).get('humidity')).toBeCloseTo(50, 2);
    const bytes = words(0x6666, 0x8000);
    bytes[4] = 0x01;
    const wrong = bench(answer(bytes));
    const failing = expect(sht3x.make(wrong.access).read(['temperature'])).rejects.toMatchObject({ code: 'BAD_REPLY' });
    await wrong.clock.advance(20);
    await failing;
  });
});

describe('ADS1115', () => {
  /** Keeps two-byte registers; a conversion takes `looks` looks at the configuration. */
  class Ads implements SimChip {
    config = 0x8583;
    looks = 0;
    left = 0;
    readonly volts: Readonly<Record<number, number>> = { 4: 1.024, 5: -0.5, 0: 2 };

    transfer([register = 0, high, low]: Uint8Array, length: number): number[] {
      if (high !== undefined && low !== undefined) {
        this.config = (high << 8) | low;
        this.left = this.looks;
      }
      if (length === 0) return [];
      if (register === 1) {
        const busy = this.left-- > 0;
        return [((this.config >> 8) & 0x7f) | (busy ? 0 : 0x80), this.config & 0xff];
      }
      const raw = Math.round(((this.volts[(this.config >> 12) & 7] ?? 0) / 4.096) * 32768) & 0xffff;
      return [raw >> 8, raw & 0xff];
    }
  }

  it('converts each input in turn and waits until it is ready', async () => {
    const chip = new Ads();
    chip.looks = 3;
    const { access, clock } = bench(chip);
    const reading = ads1115.make(access).read(['a0', 'a1', 'a0-a1']);
    await clock.advance(60);
    const values = await reading;
    expect(values.get('a0')).toBeCloseTo(1.024, 3);
    expect(values.get('a1')).toBeCloseTo(-0.5, 3);
    expect(values.get('a0-a1')).toBeCloseTo(2, 3);
  });

  it('gives no value of an input beyond its range, and those of the others', async () => {
    const chip = new Ads();
    Object.assign(chip.volts, { 4: 4.096 * (32767 / 32768), 5: -4.096 });
    const { access, clock } = bench(chip);
    const reading = ads1115.make(access).read(['a0', 'a1', 'a0-a1']);
    await clock.advance(60);
    expect([...(await reading).keys()]).toEqual(['a0-a1']);
  });

  it('gives no value for a conversion that never ends or has other settings', async () => {
    const endless = new Ads();
    endless.looks = 1000;
    const slow = bench(endless);
    const never = expect(ads1115.make(slow.access).read(['a0'])).rejects.toMatchObject({ code: 'BAD_REPLY' });
    await slow.clock.advance(100);
    await never;
    const stolen = new Ads();
    const other = bench(stolen);
    const wrong = expect(ads1115.make(other.access).read(['a0'])).rejects.toMatchObject({ code: 'BAD_REPLY' });
    await other.clock.advance(1);
    stolen.config = 0xd583;
    await other.clock.advance(20);
    await wrong;
  });
});

describe('MCP3424', () => {
  /** Converts what it was asked for, after some looks. */
  class Mcp implements SimChip {
    config = 0x90;
    looks = 0;
    #left = 0;
    readonly volts = [1.024, -0.5, 0.0000625, 2.0479375];

    transfer([config]: Uint8Array, length: number): number[] {
      if (config !== undefined) {
        this.config = config & 0x7f;
        this.#left = this.looks;
      }
      const raw = Math.round((this.volts[(this.config >> 5) & 3] ?? 0) / 0.0000625) & 0xffff;
      const busy = length > 0 && this.#left-- > 0 ? 0x80 : 0;
      return [raw >> 8, raw & 0xff, this.config | busy].slice(0, length);
    }
  }

  it('converts each channel in turn, waits until it is ready, and leaves the bus free meanwhile', async () => {
    const chip = new Mcp();
    chip.looks = 2;
    const { access, clock, bus } = bench(chip);
    const reading = mcp3424.make(access).read(['ch1', 'ch2', 'ch3', 'ch4']);
    await clock.advance(73);
    expect(bus.transfers).toEqual(['40: 88 > 0']);
    await clock.advance(400);
    const values = await reading;
    // The fourth is at the end of the range: nobody knows how far beyond.
    expect(['ch1', 'ch2', 'ch3', 'ch4'].map((name) => values.get(name))).toEqual([
      ...chip.volts.slice(0, 3),
      undefined,
    ]);
  });

  it('gives no value for a conversion that never ends or has other settings', async () => {
    const endless = new Mcp();
    endless.looks = 1000;
    const slow = bench(endless);
    const never = expect(mcp3424.make(slow.access).read(['ch1'])).rejects.toMatchObject({ code: 'BAD_REPLY' });
    await slow.clock.advance(200);
    await never;
    const stolen = new Mcp();
    const other = bench(stolen);
    const wrong = expect(mcp3424.make(other.access).read(['ch1'])).rejects.toMatchObject({ code: 'BAD_REPLY' });
    await other.clock.advance(10);
    stolen.config = 0x28;
    await other.clock.advance(200);
    await wrong;
  });
});

describe('MCP4725', () => {
  /** Fast mode; read: status and power bits, then the value in the upper twelve of sixteen bits. */
  class Dac implements SimChip {
    value = 0x800;
    power = 0;
    deaf = false;

    transfer([high, low]: Uint8Array, length: number): number[] {
      if (high !== undefined && low !== undefined && !this.deaf) {
        this.power = (high >> 4) & 3;
        this.value = ((high & 0x0f) << 8) | low;
      }
      return [0xc0 | (this.power << 1), this.value >> 4, (this.value & 0x0f) << 4, 0, 0].slice(0, length);
    }
  }

  it('writes a share of the supply, reads it back, and refuses what is none before anything is sent', async () => {
    const chip = new Dac();
    const { access, bus } = bench(chip);
    const made = mcp4725.make(access);
    expect(await made.write?.('out', 0.5)).toBeCloseTo(0.5, 3);
    expect(chip.value).toBe(2048);
    expect(await made.write?.('out', 1)).toBe(1);
    expect(chip.value).toBe(4095);
    bus.transfers.length = 0;
    await expect(made.write?.('out', 1.1)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    expect(bus.transfers).toEqual([]);
    expect((await made.read(['out'])).get('out')).toBe(1);
  });

  it('rejects when the value does not arrive, and reads 0 when it is switched off', async () => {
    const chip = new Dac();
    const made = mcp4725.make(bench(chip).access);
    chip.deaf = true;
    await expect(made.write?.('out', 0.1)).rejects.toMatchObject({ code: 'BAD_REPLY' });
    chip.power = 1;
    expect((await made.read(['out'])).get('out')).toBe(0);
  });
});

describe('SSD1306', () => {
  /** The display's memory, addressed page by page. */
  class Display implements SimChip {
    readonly memory = new Uint8Array(8 * 128).fill(0xa5);
    on = false;
    longest = 0;
    #page = 0;
    #column = 0;

    transfer([control, ...bytes]: Uint8Array, length: number): number[] {
      this.longest = Math.max(this.longest, bytes.length);
      if (control === 0x40) for (const byte of bytes) this.memory[128 * this.#page + this.#column++] = byte;
      const [command = 0] = bytes;
      if (control === 0x00 && command >= 0xb0 && command <= 0xb7) {
        expect(bytes.slice(1)).toEqual([0x00, 0x10]);
        [this.#page, this.#column] = [command & 7, 0];
      }
      if (control === 0x00 && (command & 0xfe) === 0xae) this.on = command === 0xaf;
      return length === 0 ? [] : [this.on ? 0x03 : 0x43];
    }

    /** A line as rows of dots. */
    picture(line: number, columns: number): string[] {
      return Array.from({ length: 8 }, (_, row) =>
        Array.from({ length: columns }, (_, at) => (((this.memory[128 * line + at] ?? 0) >> row) & 1 ? '#' : '.')).join(
          '',
        ),
      );
    }
  }

  it('is emptied before it is switched on, and shows a line of text where it was asked to', async () => {
    const chip = new Display();
    const { access } = bench(chip);
    const made = ssd1306.make(access);
    await made.setUp();
    expect(chip.on).toBe(true);
    expect(chip.memory.every((byte) => byte === 0)).toBe(true);
    expect(await made.write?.('line3', 'F1')).toBe('F1');
    expect(chip.picture(2, 11)).toEqual([
      '#####...#..',
      '#......##..',
      '#.......#..',
      '####....#..',
      '#.......#..',
      '#.......#..',
      '#......###.',
      '...........',
    ]);
    expect(chip.memory.subarray(0, 256).every((byte) => byte === 0)).toBe(true);
    // Others on the bus must not wait for a whole picture.
    expect(chip.longest).toBeLessThanOrEqual(16);
    await made.write?.('line3', '');
    expect(chip.memory.every((byte) => byte === 0)).toBe(true);
  });

  it('text that does not fit is refused, and a display that lost its power says so', async () => {
    const chip = new Display();
    const made = ssd1306.make(bench(chip).access);
    await made.setUp();
    await expect(made.write?.('line1', 'x'.repeat(22))).rejects.toMatchObject({ code: 'BAD_VALUE' });
    await expect(made.write?.('line1', 'ä')).rejects.toMatchObject({ code: 'BAD_VALUE' });
    await made.write?.('line1', '21.5 °C ~{}');
    expect((await made.read(['line1'])).get('line1')).toBe('21.5 °C ~{}');
    chip.on = false;
    await expect(made.read(['line1'])).rejects.toMatchObject({ code: 'BAD_REPLY' });
  });

  it('has a different picture for every ASCII character', () => {
    const all = Array.from({ length: 95 }, (_, at) => glyph(String.fromCharCode(32 + at))?.join());
    expect(all.every((picture) => picture?.split(',').length === 5)).toBe(true);
    expect(new Set(all).size).toBe(95);
    expect(glyph(String.fromCharCode(127))).toBeUndefined();
    expect(glyph('\n')).toBeUndefined();
  });
});
