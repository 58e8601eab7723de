import { expect, test } from 'vitest';
import { errorsOf, load } from './fakes.ts';

const FILE = `node: boiler-room
board: raspberry-pi-4
bus:
  listen: 0.0.0.0
ports:
  plc: { driver: modbas, tcp: "192.168.1.10:502" }
  io:  { driver: gpio, chip: chipA }
  sim: { driver: mock, latency: 20 }
devices:
  meter: { port: rs845, profile: eastron/sdm120 }
pins:
  door:  { port: io, gpio: 1, debounse: 20ms }
  lamp:  { port: io, gpio: 2, direction: out, initial: banana }
  lamp2: { port: io, gpio: 2, direction: out, safe: off }
  alarm: { virtual: bool, follow: dor }
  door:  { port: io, gpio: 3 }
  pump:  { virtual: number, range: [0, 50], safe: 60 }
actors: [./missing.ts]
`;

test('all mistakes of a file with a dozen are reported, each at its place', () => {
  const errors = errorsOf(FILE).map(({ line, column, key, found, didYouMean }) => [
    line,
    column,
    key,
    found,
    didYouMean,
  ]);
  expect(errors).toEqual([
    [2, 8, 'board', '"raspberry-pi-4"', 'raspberry-pi-4b'],
    [4, 11, 'bus.listen', '"0.0.0.0"', undefined],
    [6, 18, 'ports.plc.driver', '"modbas"', 'modbus'],
    [8, 33, 'ports.sim.latency', '20', undefined],
    [10, 18, 'devices.meter.port', '"rs845"', undefined],
    [12, 31, 'pins.door.debounse', 'debounse', 'debounce'],
    [13, 56, 'pins.lamp.initial', '"banana"', undefined],
    [14, 3, 'pins.lamp2', 'lamp and lamp2 on one channel', undefined],
    [15, 35, 'pins.alarm.follow', '"dor"', 'door'],
    [16, 3, 'pins.door', undefined, undefined],
    [17, 51, 'pins.pump.safe', '60', undefined],
    [18, 10, 'actors[0]', '"./missing.ts"', undefined],
  ]);
});

test('every error says in words what is wrong, and names the file', () => {
  for (const { message, file } of errorsOf(FILE)) {
    expect(message.length).toBeGreaterThan(10);
    expect(file).toBe('/etc/dcs-io.yaml');
  }
});

test('warnings are kept apart from errors', () => {
  const loaded = load(FILE);
  const severities = loaded.ok ? [] : loaded.problems.map(({ severity }) => severity);
  expect(severities.lastIndexOf('error')).toBeLessThan(severities.indexOf('warning'));
});
