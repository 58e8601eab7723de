import { describe, expect, it } from 'vitest';
import {
  addressOf,
  factorOf,
  namesOf,
  numberOf,
  rangeOf,
  tableOf,
  unitOf,
} from '../../src/cli/register-table/cells.ts';
import { newProfile } from '../../src/cli/register-table/new-profile.ts';
import { typeOf } from '../../src/cli/register-table/types.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const linesOf = async (text: string, options = {}) => {
  const { text: profile, notes } = await newProfile(bytes(text), 'map.csv', options);
  const [, pins = ''] = profile.split('\npins:\n');
  return { pins: pins.split('\n').filter((line) => line !== ''), notes, profile };
};

describe('a profile from a register table', () => {
  it('finds columns by their header, in a file with semicolons, decimal commas, and hexadecimal addresses', async () => {
    const { pins, notes } = await linesOf(
      [
        'Registerliste Zähler XY',
        '',
        'Adresse (hex);Funktionscode;Bezeichnung;Datentyp;Anzahl Register;Einheit;Faktor;Zugriff;Bemerkung',
        '0000;04;Spannung L1;FLOAT;2;V;1;R;',
        '000C;04;Wirkleistung;INT32;2;W;0,1;R;Bezug ist positiv',
        '0156;04;Gesamtenergie;UINT32 (CDAB);2;kWh;0,01;R;',
        '1000;03/06;Betriebsart;UINT16;1;;1;R/W;"0=Aus; 1=Ein"',
        '1002;03;reserviert;;;;;;',
        '1003;03;Gerätename;STRING;8;;;R;',
      ].join('\r\n'),
    );
    expect(pins).toEqual([
      '  spannung-l1: { input: 0, type: float32, uom: V, class: voltage }',
      '  # Bezug ist positiv',
      '  wirkleistung: { input: 12, type: int32, scale: 0.1, uom: W, class: power }',
      '  gesamtenergie: { input: 342, type: uint32, order: CDAB, scale: 0.01, uom: kWh, class: energy }',
      '  # 0=Aus; 1=Ein',
      '  betriebsart: { holding: 4096, values: { "0": Aus, "1": Ein }, direction: out }',
      '  geraetename: { holding: 4099, type: string, length: 16 }',
    ]);
    expect(notes).toEqual([
      expect.stringContaining('--base 1'),
      'line 8: left out, because it is reserved: 1002 | 03 | reserviert',
    ]);
  });

  it('reads the notation of manuals, and says so', async () => {
    const { pins, notes } = await linesOf(
      [
        'Register,Name,Data Type,R/W,Range,Units',
        '40001,Speed setpoint,INT,RW,0-50,Hz',
        '40003-40004,Total,UDINT,R,,kWh',
        '30001,Speed,REAL,R,,Hz',
        '00001,Relay 1,BOOL,R/W,,',
        '10001,Door,BOOL,R,,',
        '40010.3,Alarm,BOOL,R,,',
        '40020,Broken,FOO,R,,',
        'abc,Nonsense,INT,R,,',
      ].join('\n'),
    );
    expect(pins).toContain('  speed: { input: "30001", type: float32, uom: Hz, class: frequency }');
    expect(pins).toContain('  relay-1: { coil: "00001", direction: out }');
    expect(pins).toContain('  door: { discrete: "10001" }');
    expect(pins).toContain('  alarm: { holding: "40010", bit: 3 }');
    expect(pins).toContain('  total: { holding: "40003", type: uint32, uom: kWh, class: energy }');
    expect(pins.join()).toContain('direction: out, range: [ 0, 50 ]');
    expect(notes).toEqual([
      expect.stringContaining('40001 is holding register 0'),
      'INT and UINT without a number are read as 16 bits',
      'line 8: left out, because FOO is no clear type: 40020 | Broken | FOO | R',
      'line 9: left out, because abc is no address: abc | Nonsense | INT | R',
    ]);
  });

  it('takes 40001 for an address on the wire where the function code or another address contradicts the notation', async () => {
    const gain = await linesOf(
      'No.,Signal Name,Read/Write,Type,Unit,Gain,Address,Quantity\n1,PV voltage,RO,I16,V,10,32016,1\n2,Model,RO,STR,N/A,1,30000,15\n',
    );
    expect(gain.profile).toContain('defaults: { base: 0, poll: 1s }');
    expect(gain.pins[0]).toBe('  pv-voltage: { holding: 32016, type: int16, scale: 0.1, uom: V, class: voltage }');
    expect(gain.pins[1]).toBe('  model: { holding: 30000, type: string, length: 30 }');
    const code = await linesOf('Address,FC,Name,Type\n30001,3,Power,INT16\n');
    expect(code.pins).toEqual(['  power: { holding: 30001, type: int16 }']);
    expect((await linesOf('Address,Name,Type\n1,Power,U16\n', { base: 1, table: 'input' })).pins).toEqual([
      '  power: { input: 1 }',
    ]);
  });

  it('takes the function from headings between the lines', async () => {
    const { pins } = await linesOf(
      '"Input registers (function 4)",,\nAddress,Description,Unit\n0x0000,Voltage,0.1V\nHolding registers,,\nAddress,Description,Unit\n0x0000,Limit,W\n',
    );
    expect(pins).toEqual([
      '  voltage: { input: 0, scale: 0.1, uom: V, class: voltage }',
      '  limit: { holding: 0, uom: W, class: power }',
    ]);
  });

  it('leaves out what it cannot know, with the reason, and never guesses', async () => {
    const { pins, notes } = await linesOf(
      [
        'Address,Name,Type,Length,Scale,Unit,R/W,Range',
        '1,A,UINT16,1,1,V,R,',
        '1,B,UINT16,1,1,V,R,',
        '2,C,UINT32 little endian,2,1,V,R,',
        '4,D,UINT16,2,1,V,R,',
        '6,E,UINT16,1,"1,000",V,R,',
        '7,F,BOOL,1,1,,R,',
        '8,G,,2,1,,R,',
        '10,H,INT16,1,0.1,V,RW,0-500',
        '11,I,INT16,1,1,V,WO,',
        '70000,J,INT16,1,1,V,R,',
        ',K,INT16,1,1,V,R,',
        '12,L,INT16,1,0.1,0.01V,R,',
      ].join('\n'),
    );
    expect(pins.filter((line) => !line.includes('#'))).toEqual([
      '  a: { holding: 1, uom: V, class: voltage }',
      '  h: { holding: 10, type: int16, scale: 0.1, uom: V, class: voltage }',
    ]);
    for (const why of [
      'line 3: left out, because u1/holding/1 already is pin a: b',
      'line 4: left out, because UINT32 little endian of length 2 is no clear type',
      'line 5: left out, because UINT16 of length 2 is no clear type',
      'line 6: left out, because the factor "1,000" is not clear',
      'line 7: left out, because nothing tells which bit it is',
      'line 8: left out, because nothing tells the type of length 2',
      'line 9: it can be written, but its range may be meant in raw numbers',
      'line 10: left out, because it can only be written',
      'line 11: left out, because',
      'line 12: left out, because it has no address',
      'line 13: left out, because the unit 0.01V and the factor 0.1 contradict each other',
    ])
      expect(notes).toContainEqual(expect.stringContaining(why));
  });

  it('reads files as spreadsheets write them, and refuses one without a header', async () => {
    const latin = new Uint8Array([...bytes('Address,Name,Unit\n1,Temperatur,'), 0xb0, 0x43, 0x0a]);
    expect((await newProfile(latin, 'x', {})).text).toContain('uom: °C, class: temperature');
    const wide = Buffer.from('\uFEFFAddress\tName\n1\tx\n', 'utf16le');
    expect((await newProfile(wide, 'x', {})).pins).toBe(1);
    await expect(newProfile(bytes('a,b\n1,2\n'), 'x.csv', {})).rejects.toThrow('x.csv has no header');
    await expect(newProfile(bytes('Address,Name\nx,y\n'), 'x.csv', {})).rejects.toThrow('no register of x.csv');
  });

  it('takes the low half of a register for a byte, and an accuracy for no factor', async () => {
    const { pins, notes } = await linesOf('Address,Name,Type,Accuracy\n0,A,UINT8,0.5\n1,B,INT8,0.5\n2,C,UINT16,0.1\n');
    expect(pins).toEqual([
      '  a: { holding: 0, type: uint8, byte: lo }',
      '  b: { holding: 1, type: int8, byte: lo }',
      '  c: { holding: 2 }',
    ]);
    expect(notes.join('\n')).toContain('nothing is read from Accuracy');
    const { pins: bits } = await linesOf('Address,Name,Type,Bits\n0,A,UINT8,3:0\n');
    expect(bits).toEqual(['  a: { holding: 0, bits: [ 0, 3 ] }']);
  });

  it('takes lengths for bytes where they are', async () => {
    const { pins } = await linesOf('Address,Name,Type,Size\n0,A,UINT32,4\n2,B,INT,2\n3,C,STRING,16\n');
    expect(pins).toEqual([
      '  a: { holding: 0, type: uint32 }',
      '  b: { holding: 2, type: int16 }',
      '  c: { holding: 3, type: string, length: 16 }',
    ]);
    expect((await linesOf('Address,Name,Type,Bytes\n0,A,FLOAT,4\n')).pins).toEqual([
      '  a: { holding: 0, type: float32 }',
    ]);
  });

  it('reads a factor with its unit, columns of writable, bits, and a table that the header names', async () => {
    const { pins, notes } = await linesOf(
      'Holding register,Register Name,Data Type,Bits,Scale Unit,Writable\n10,Level,Unsigned 16,,0.1 %,no\n11,Mode,UINT,7:4,,yes\n"40,012",X,Signed 16,,V,no\n',
    );
    expect(pins).toEqual([
      '  level: { holding: 10, scale: 0.1, uom: "%" }',
      '  mode: { holding: 11, bits: [ 4, 7 ] }',
      '  x: { holding: 40012, type: int16, uom: V, class: voltage }',
    ]);
    expect(notes).toContain('INT and UINT without a number are read as 16 bits');
    const { pins: resolved } = await linesOf('Address,Name,Resolution\n1,Voltage,"0,1 V"\n2,Power,1 W\n3,Level,0.5%\n');
    expect(resolved).toEqual([
      '  voltage: { holding: 1, scale: 0.1, uom: V, class: voltage }',
      '  power: { holding: 2, uom: W, class: power }',
      '  level: { holding: 3, scale: 0.5, uom: "%" }',
    ]);
  });

  it('gives every pin another name', async () => {
    const { pins } = await linesOf('Address,Name\n1,Strom\n2,Strom\n3,电流\n');
    expect(pins).toEqual(['  strom: { holding: 1 }', '  strom-2: { holding: 2 }', '  register-3: { holding: 3 }']);
  });
});

describe('a cell of a register table', () => {
  it.each([
    ['0x1A', false, { first: 26 }],
    ['1Ah', false, { first: 26 }],
    ['1A', true, { first: 26 }],
    ['$10', false, { first: 16 }],
    ['10', true, { first: 16 }],
    ['10', false, { first: 10, decimal: '10' }],
    ['4x0001', false, { first: 40_001, decimal: '40001' }],
    ['HR 12', false, { first: 12, decimal: '12' }],
    ['0x10 - 0x11', false, { first: 16, last: 17 }],
    ['40,001', false, { first: 40_001, decimal: '40001' }],
    ['40 001', false, { first: 40_001, decimal: '40001' }],
    ['40010 bit 12', false, { first: 40_010, decimal: '40010', bit: 12 }],
    ['xyz', false, undefined],
    ['1-2-3', false, undefined],
  ])('%s is an address', (cell, hex, address) => {
    expect(addressOf(cell, hex)).toEqual(address);
  });

  it.each([
    ['U16', undefined, 'uint16'],
    ['unsigned short', undefined, 'uint16'],
    ['Signed 16-bit', 1, 'int16'],
    ['S_DWORD_R', undefined, 'int32 CDAB'],
    ['uint', 2, 'uint32'],
    ['INT', undefined, 'int16'],
    ['DINT', undefined, 'int32'],
    ['UDINT', 2, 'uint32'],
    ['WORD', undefined, 'uint16'],
    ['DWORD', undefined, 'uint32'],
    ['LREAL', undefined, 'float64'],
    ['IEEE 754', 2, 'float32'],
    ['Float (swapped)', undefined, 'float32 CDAB'],
    ['FP32', undefined, 'float32'],
    ['Int64', 4, 'int64'],
    ['acc32', 2, 'uint32'],
    ['enum16', undefined, 'uint16'],
    ['unsigned long', 2, 'uint32'],
    ['BCD', undefined, 'bcd16'],
    ['STRING(32)', undefined, 'string'],
    ['float', 1, undefined],
    ['INT32, low word first', 2, 'int32 CDAB'],
    ['FLOAT CD-AB', 2, 'float32 CDAB'],
    ['REAL (swap)', undefined, 'float32 CDAB'],
    ['UINT32 big endian', 2, 'uint32'],
    ['Ganzzahl 16 Bit vorzeichenlos', 1, 'uint16'],
    ['float inverse', 2, undefined],
    ['uint16 (x10)', 1, undefined],
    ['UINT32 LE', 2, undefined],
    ['4 byte integer', 2, 'int32'],
    ['2 words unsigned', undefined, 'uint32'],
    ['whatever', 1, undefined],
  ])('%s of length %s is the type %s', (cell, length, type) => {
    const found = typeOf(cell, length, '');
    expect(found && [found.type, ...(found.order === undefined ? [] : [found.order])].join(' ')).toBe(type);
  });

  it('is a number, a factor, a unit, a range, names or a function as manuals write them', () => {
    expect([numberOf('0,1', false), numberOf('1.000,5', false), numberOf('1,000.5', false)]).toEqual([
      0.1, 1000.5, 1000.5,
    ]);
    expect([numberOf('1,000', false), numberOf('1,000', true), numberOf('x', true)]).toEqual([undefined, 1, undefined]);
    const factors = ['0.1', 'x0,1', '1/10', '/10', '10^-1', '10⁻¹', '×10', '', 'abc', '1/0'];
    expect(factors.map((text) => factorOf(text, false))).toEqual([
      0.1,
      0.1,
      0.1,
      0.1,
      0.1,
      0.1,
      10,
      1,
      undefined,
      undefined,
    ]);
    expect([unitOf('0,1 °C', true), unitOf('V/10', false), unitOf('m³/h', false), unitOf('-', false)]).toEqual([
      { uom: '°C', scale: 0.1 },
      { uom: 'V', scale: 0.1 },
      { uom: 'm³/h' },
      {},
    ]);
    expect(['0-50', '-10…50', '[0, 100]', '5 to 10', '7', 'a-b'].map((text) => rangeOf(text, false))).toEqual([
      [0, 50],
      [-10, 50],
      [0, 100],
      [5, 10],
      undefined,
      undefined,
    ]);
    expect(namesOf('0: off, 1: on')).toEqual({ 0: 'off', 1: 'on' });
    expect([namesOf('see page 7'), namesOf('0-100'), namesOf('1: on')]).toEqual([undefined, undefined, undefined]);
    expect(
      ['03', 'FC04', '0x10', '1/5/15', 'Holding Register', '3x', '03H/06H', 'Signed 16', 'Voltage'].map(
        (text) => tableOf(text)?.table,
      ),
    ).toEqual(['holding', 'input', 'holding', 'coil', 'holding', 'input', 'holding', undefined, undefined]);
  });
});
