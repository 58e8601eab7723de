import { describe, expect, it } from 'vitest';
import { gpio } from '../../drivers/gpio/driver.ts';
import { i2c } from '../../drivers/i2c/driver.ts';
import { createMock } from '../../drivers/mock/driver.ts';
import { modbus } from '../../drivers/modbus/driver.ts';
import { serial } from '../../drivers/serial/driver.ts';
import type { Driver } from '../../src/driver/contract.ts';
import { placesOf } from './fakes.ts';

const drivers: readonly Driver[] = [gpio, i2c, createMock(), modbus, serial];

const errorsIn = (text: string) => placesOf(text, { drivers });

describe('a key that has no effect where it stands is an error at its place', () => {
  const tcp = 'ports: { plc: { driver: modbus, tcp: a } }\n';
  const remote = (keys: string) => `ports: { one: { driver: serial, path: "tcp://a:1"${keys} } }\n`;
  it.each([
    ['ports: { plc: { driver: modbus, tcp: a, line: 9600-8N1 } }\n', '1:47 line: line has no effect over a network'],
    [
      `${tcp}pins: { a: { port: plc, holding: 1, verify: { holding: 2 } } }\n`,
      '2:37 verify: verify has no meaning on an input',
    ],
    [
      `${tcp}pins: { a: { port: plc, holding: 1, quirks: { line: 9600-8N1 } } }\n`,
      '2:47 line: unit 1: line has no effect',
    ],
    [
      `${tcp}devices: { m: { port: plc, quirks: { line: 9600-8N1 }, pins: { a: { holding: 1 } } } }\n`,
      '2:38 line: unit 1: line has',
    ],
    [remote(', line: 9600-8N1'), '1:58 line: line has no effect over tcp://'],
    [remote(', flow: rtscts'), 'flow: flow has no effect over tcp://'],
    [remote(', dtr: true'), 'dtr: dtr has no effect over tcp://'],
    [remote(', hupcl: false'), 'hupcl: hupcl has no effect over tcp://'],
    [
      'ports: { one: { driver: serial, path: "rfc2217://a:1", low_latency: true } }\n',
      'low_latency: low_latency has no effect over rfc2217://',
    ],
    [`${remote('')}pins: { a: { port: one, control: cts } }\n`, '2:25 control: a tcp:// port has no line cts'],
    [
      'pins: { a: { gpio: "chip:1", drive: open-drain } }\nports: { c: { driver: gpio, chip: chip } }\n',
      'drive: drive has no meaning on an input',
    ],
    [
      'ports: { c: { driver: gpio, chip: c, backend: onoff } }\npins: { a: { port: c, gpio: 1, bias: pull-up } }\n',
      '2:32 bias: line 1: backend onoff cannot set bias',
    ],
    [
      'ports: { b: { driver: i2c, bus: 1 } }\npins: { a: { port: b, address: 0x20, register: 1, direction: out, shift: 2 } }\n',
      'shift: shift has no meaning on an output',
    ],
    [
      'ports: { b: { driver: i2c, bus: 1 } }\npins: { a: { port: b, address: 0x20, register: 1, zero: 2 } }\n',
      'zero: zero has no meaning on an input',
    ],
    [
      'ports: { b: { driver: i2c, bus: 1 } }\npins: { a: { port: b, address: 0x76, chip: bme280, value: temperature, type: u16be } }\n',
      'type: bme280 knows its values',
    ],
    [
      'ports: { m: { driver: mock, faults: [{ kind: disconnect, channel: a, after: 1s }] } }\n',
      'channel: a disconnect concerns all channels',
    ],
    [
      'servers: { s: { driver: modbus, tcp: "127.0.0.1:1", line: 9600-8N1, coils: { 0: a } } }\n',
      'line: line has no effect on this server',
    ],
    [
      'servers: { s: { driver: modbus, tcp: "127.0.0.1:1", unit: 3, coils: { 0: a } } }\n',
      'unit: unit has no effect on this server',
    ],
    [
      'servers: { s: { driver: modbus, serial: /dev/x, insecure: true, coils: { 0: a } } }\n',
      'insecure: insecure has no effect on this server',
    ],
  ])('%s', (text, error) => {
    expect(
      errorsIn(text)
        .join('\n')
        .replaceAll(/ [\w.]+\.(\w+: )/g, ' $1'),
    ).toContain(error);
  });

  it('is taken when a pin inherits it from its device, where it has an effect on another pin', () => {
    const text = `${tcp}devices: { m: { port: plc, verify: { holding: 9 }, pins: { a: { holding: 1 }, b: { holding: 2, direction: out, safe: 0 } } } }\n`;
    expect(errorsIn(text)).toEqual([]);
  });

  it('is taken where it has an effect', () => {
    expect(
      errorsIn('ports: { one: { driver: serial, path: "rfc2217://a:1", line: 9600-8N1, flow: rtscts, dtr: false } }\n'),
    ).toEqual([]);
    expect(
      errorsIn('ports: { one: { driver: serial, path: /dev/x, line: 9600-8N1, hupcl: false, low_latency: true } }\n'),
    ).toEqual([]);
  });
});
