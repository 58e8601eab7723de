import { describe, expect, it } from 'vitest';
import { modbus, registersOf } from '../../drivers/modbus/driver.ts';

const options = modbus.options.parse({ tcp: '192.168.1.10' });
const wrong = (keys: object) => {
  const parsed = modbus.pin.safeParse(keys);
  if (parsed.success) throw new Error('these keys were taken');
  return parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('\n');
};
const facts = (keys: object) => modbus.describe(modbus.pin.parse(keys), options);

describe('the keys of a Modbus pin', () => {
  it('give its address, its kind and its directions', () => {
    expect(facts({ holding: 10 })).toEqual({ key: 'u1/holding/10', kind: 'analog', directions: ['in', 'out'] });
    expect(facts({ coil: 0, unit: 7 })).toEqual({ key: 'u7/coil/0', kind: 'digital', directions: ['in', 'out'] });
    expect(facts({ discrete: 3 })).toEqual({ key: 'u1/discrete/3', kind: 'digital', directions: ['in'] });
    expect(facts({ holding: 10, bit: 3 })).toMatchObject({ key: 'u1/holding/10.3', kind: 'digital' });
    expect(facts({ holding: 10, byte: 'hi', type: 'int8' })).toMatchObject({
      key: 'u1/holding/10.8-15',
      kind: 'analog',
    });
    expect(facts({ holding: 10, values: { 0: 'off' } })).toMatchObject({ kind: 'text' });
    expect(facts({ holding: 10, scale_from: 20 })).toMatchObject({ kind: 'analog', directions: ['in', 'out'] });
    expect(facts({ input: 3, type: 'string', length: 8 })).toEqual({
      key: 'u1/input/3',
      kind: 'text',
      directions: ['in'],
    });
  });

  it('tell how many registers a value takes, so that overlaps are found', () => {
    const registers = (keys: object) => registersOf(modbus.pin.parse(keys), options);
    expect(registers({ holding: 10, type: 'float32' })).toEqual({ unit: 1, table: 'holding', first: 10, count: 2 });
    expect(registers({ input: 1, unit: 3, type: 'uint64' })).toEqual({ unit: 3, table: 'input', first: 1, count: 4 });
    expect(registers({ coil: 9 })).toEqual({ unit: 1, table: 'coil', first: 9, count: 1 });
  });

  it('take the notation of manuals in quotes, and base: 1', () => {
    expect(facts({ holding: '40011' }).key).toBe('u1/holding/10');
    expect(facts({ holding: '400011' }).key).toBe('u1/holding/10');
    expect(facts({ input: '30001' }).key).toBe('u1/input/0');
    expect(facts({ coil: '00001' }).key).toBe('u1/coil/0');
    expect(facts({ holding: 11, base: 1 }).key).toBe('u1/holding/10');
    expect(facts({ holding: 40011, base: 0 }).key).toBe('u1/holding/40011');
    expect(facts({ holding: 40000 }).key).toBe('u1/holding/40000');
  });

  it('explain what is wrong with an address', () => {
    expect(wrong({ holding: 40011 })).toMatch(/holding: .*counted from 0.*"40011" in quotes or holding: 10.*base: 0/);
    expect(wrong({ input: 300011 })).toMatch(/"300011" in quotes or input: 10/);
    expect(wrong({ holding: 65536 })).toMatch(/outside 0 to 65535/);
    expect(wrong({ holding: -1 })).toMatch(/outside 0 to 65535/);
    expect(wrong({ holding: 0, base: 1 })).toMatch(/outside 1 to 65536/);
    expect(wrong({ holding: 1.5 })).toMatch(/not a whole number/);
    expect(wrong({ holding: '30011' })).toMatch(/notation/);
    expect(wrong({ holding: 65535, type: 'float32' })).toMatch(/end at 65536/);
  });

  it('name exactly one table', () => {
    expect(wrong({})).toMatch(/exactly one of coil, discrete, holding, input: none/);
    expect(wrong({ coil: 1, input: 1 })).toMatch(/coil and input are given/);
  });

  it('refuse a unit of measure as unit and name the right key', () => {
    expect(wrong({ holding: 1, unit: 'kW' })).toMatch(/unit: .*uom: kW/);
    expect(wrong({ holding: 1, unit: 256 })).toMatch(/unit/);
  });

  it('refuse contradictions', () => {
    expect(wrong({ coil: 1, type: 'int16' })).toMatch(/type: a coil is a bool/);
    expect(wrong({ coil: 1, order: 'CDAB' })).toMatch(/order/);
    expect(wrong({ holding: 1, type: 'bool' })).toMatch(/type/);
    expect(wrong({ holding: 1, bit: 16 })).toMatch(/^bit: uint16 has the bits 0 to 15, and no 16; type: uint32 has it/);
    expect(wrong({ holding: 1, bit: 1, type: 'int16' })).toMatch(/type/);
    expect(wrong({ holding: 1, bit: 1, bits: [2, 3] })).toMatch(/only one of/);
    expect(wrong({ holding: 1, bits: [3, 2] })).toMatch(/lowest bit first/);
    expect(wrong({ holding: 1, bits: [2, 3], type: 'float32' })).toMatch(/type: bits are in a uint16/);
    expect(wrong({ holding: 1, type: 'int8' })).toMatch(/byte: hi or lo/);
    expect(wrong({ coil: 1, bit: 1 })).toMatch(/has no bit/);
    expect(wrong({ holding: 1, type: 'float32', values: { 1: 'on' } })).toMatch(/values/);
    expect(wrong({ holding: 1, type: 'string', length: 4, order: 'CDAB' })).toMatch(/BADC/);
    expect(wrong({ holding: 1, type: 'string' })).toMatch(/length/);
    expect(wrong({ holding: 1, length: 3 })).toMatch(/length/);
    expect(wrong({ holding: 1, poll: 5 })).toMatch(/duration with its unit/);
  });
});

describe('the keys of a Modbus port', () => {
  it.each([
    [{}, /exactly one of tcp, udp, serial, usb: none/],
    [{ usb: { vid: '403', pid: '6001' } }, /four hexadecimal digits/],
    [{ usb: { vid: '0403', pid: '6001' }, framing: 'tcp' }, /rtu or ascii/],
    [{ tcp: 'a', serial: '/dev/ttyUSB0' }, /exactly one/],
    [{ serial: '/dev/ttyUSB0', framing: 'tcp' }, /rtu or ascii/],
    [{ udp: 'a', framing: 'rtu' }, /UDP/],
    [{ tcp: 'a', framing: 'rtu', in_flight: 4 }, /one at a time/],
  ])('refuse %j', (keys, message) => {
    expect(modbus.options.safeParse(keys).error?.issues[0]?.message).toMatch(message);
  });

  it('name a serial line by its path or the USB ids of its adapter, and both claim it', () => {
    const byPath = modbus.options.parse({ serial: '/dev/ttyUSB0' });
    const byUsb = modbus.options.parse({ usb: { vid: '0x0403', pid: '6001', serial: 'A1' } });
    expect(byUsb).toMatchObject({ framing: 'rtu', timeout: 500, link: { by: 'serial', device: { vid: '0403' } } });
    expect([modbus.claims?.(byPath), modbus.claims?.(byUsb)]).toEqual(['/dev/ttyUSB0', 'USB 0403:6001 serial A1']);
  });

  it('take host, host:port and IPv6, and have defaults', () => {
    const tcp = (target: string) => modbus.options.parse({ tcp: target }).link;
    expect(options).toMatchObject({ unit: 1, timeout: 800, poll: 1000, in_flight: 1, framing: 'tcp' });
    expect(options.link).toEqual({ by: 'tcp', target: { host: '192.168.1.10', port: 502 } });
    expect(tcp('plc.local:1502')).toEqual({ by: 'tcp', target: { host: 'plc.local', port: 1502 } });
    expect(tcp('[fe80::1]:503')).toEqual({ by: 'tcp', target: { host: 'fe80::1', port: 503 } });
    expect(modbus.options.parse({ serial: '/dev/ttyUSB0' })).toMatchObject({ framing: 'rtu', timeout: 500 });
  });

  it.each(['', 'a b', 'host:0', 'host:70000', 'host:x'])('refuse the target %j', (tcp) => {
    expect(modbus.options.safeParse({ tcp }).success).toBe(false);
  });
});

describe('the keys of a Modbus port', () => {
  const wrongPort = (keys: object) =>
    modbus.options.safeParse(keys).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];

  it.each([
    { keys: { tcp: 'a', line: '9600-8N1' }, says: 'line: line has no effect over a network' },
    { keys: { udp: 'a', echo: 'auto' }, says: 'echo: echo has no effect over a network' },
    { keys: { tcp: 'a', framing: 'rtu', rs485: 'off' }, says: 'rs485: rs485 has no effect over a network' },
    { keys: { tcp: 'a', turnaround: '100ms' }, says: 'turnaround: turnaround has no effect with tcp frames' },
    { keys: { udp: 'a', connect: { pause: '1s' } }, says: 'connect: connect has no effect without a TCP connection' },
    { keys: { serial: '/dev/ttyS0', connect: {} }, says: 'connect: connect has no effect without a TCP connection' },
    {
      keys: { serial: '/dev/ttyS0', quirks: { transaction_id: 'any' } },
      says: 'quirks.transaction_id: rtu frames have no',
    },
    { keys: { udp: 'a', quirks: { transaction_id: 'any' } }, says: 'quirks.transaction_id: over UDP only' },
    { keys: { tcp: 'a', in_flight: 2, quirks: { transaction_id: 'any' } }, says: 'quirks.transaction_id: only the' },
    { keys: { tcp: 'a', in_flight: 2, quirks: { unit_id: 'any' } }, says: 'quirks.unit_id: the unit is needed' },
    { keys: { tcp: 'a', in_flight: 2, pause: '1ms' }, says: 'pause: silence before each request' },
    {
      keys: { tcp: 'a', in_flight: 2, connect: { close_after: 'each' } },
      says: 'connect.close_after: the others are lost',
    },
    { keys: { tcp: 'a', connect: { pause: '11s' } }, says: 'connect.pause: at most 10s' },
  ])('have no effect or contradict each other, and are refused: $keys', ({ keys, says }) => {
    expect(wrongPort(keys).join('\n')).toContain(says);
  });

  it('stand where they have an effect', () => {
    for (const keys of [
      { tcp: 'a', framing: 'rtu', turnaround: '10ms', pause: '5ms' },
      { tcp: 'a', connect: { pause: '1s', close_after: 'idle' }, in_flight: 4 },
      {
        serial: '/dev/ttyS0',
        line: '9600-8N1',
        echo: 'off',
        rs485: 'rts',
        turnaround: '10ms',
        quirks: { unit_id: 'any' },
      },
    ])
      expect(wrongPort(keys)).toEqual([]);
  });

  it.each([
    { port: { tcp: 'a' }, quirks: { line: '9600-8N1' }, says: 'line has no effect over a network' },
    {
      port: { tcp: 'a', framing: 'rtu' },
      quirks: { transaction_id: 'any' },
      says: 'rtu frames have no transaction id',
    },
    { port: { tcp: 'a', in_flight: 2 }, quirks: { pause: '1s' }, says: 'pause does not go with several requests' },
  ])('refuse quirks of a device that contradict them: $quirks', ({ port, quirks, says }) => {
    const address = modbus.pin.parse({ holding: 1, quirks });
    const channel = { key: 'one', kind: 'analog', direction: 'in', address, debounceMs: 0 } as const;
    const remarks = modbus.review?.(modbus.options.parse(port), [channel, { ...channel, key: 'two' }]) ?? [];
    const about = remarks.filter(({ key }) => key !== undefined);
    expect(about).toMatchObject([
      { channel: 'one', key: `quirks.${Object.keys(quirks)[0]}`, message: expect.stringContaining(says), fatal: true },
    ]);
  });
});
