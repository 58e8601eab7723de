import { describe, expect, it } from 'vitest';
import { MockDevice } from '../../drivers/mock/device.ts';
import { createMock, mockOptions } from '../../drivers/mock/driver.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { openPort } from '../support/ports.ts';

const input = { keys: { channel: 'in' }, direction: 'in' } as const;
const output = { keys: { channel: 'out' }, direction: 'out' } as const;

async function open(options: object, hardware = new MockDevice()) {
  const clock = new ManualClock();
  const held = await openPort(createMock(hardware), options, [input, output], clock);
  const seen: Reading[] = [];
  const [first] = held.channels;
  if (first) held.listen(first, (reading) => seen.push(reading));
  await clock.advance(0);
  return { ...held, clock, hardware, seen };
}
const shown = (seen: readonly Reading[]) => seen.map((one) => (one.ok ? one.value : one.error.code));

describe('mock hardware', () => {
  it('passes a written value to the channel that is wired to it', async () => {
    const { port, channels, seen, hardware } = await open({ loopback: [['out', 'in']] });
    const out = channels[1];
    if (out) await port.write(out, true);
    expect(shown(seen)).toEqual([false, true]);
    expect(hardware.writes).toMatchObject([{ key: 'out', value: true, at: 0 }]);
  });

  it('refuses wires that form a loop', async () => {
    const loopback = [
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
    ];
    await expect(open({ loopback })).rejects.toMatchObject({ code: 'BAD_CONFIG' });
  });

  it('fails, gives no answer and is unplugged as its fault script says', async () => {
    const { clock, seen, downs, port, channels } = await open({
      timeout: '300ms',
      faults: [
        { channel: 'in', kind: 'error', after: '1s', for: '1s' },
        { channel: 'out', kind: 'timeout', after: '3s', for: '1s' },
        { kind: 'disconnect', after: '5s', for: '1s' },
      ],
    });
    await clock.advance(1500);
    expect(shown(seen)).toEqual([false, 'DEVICE_REFUSED']);
    await clock.advance(2000);
    expect(shown(seen)).toEqual([false, 'DEVICE_REFUSED', false]);
    const out = channels[1];
    const write = out && port.write(out, true);
    const refused = expect(write).rejects.toMatchObject({ code: 'TIMEOUT' });
    await clock.advance(300);
    await refused;
    await clock.advance(2000);
    expect(downs).toMatchObject([{ code: 'PORT_DOWN' }]);
  });

  it('bounces: the level changes several times and then stays', async () => {
    const { clock, seen } = await open({ faults: [{ channel: 'in', kind: 'bounce', after: '1s', for: '10ms' }] });
    await clock.advance(2000);
    expect(shown(seen)).toEqual([false, true, false, true, false, true]);
  });

  it('outlives its ports: a port that is opened again finds the same levels', async () => {
    const hardware = new MockDevice();
    const { port, channels } = await open({}, hardware);
    const out = channels[1];
    if (out) await port.write(out, true);
    await port.close();
    await open({}, hardware);
    expect(hardware.get('out')).toBe(true);
  });

  it('replaces any driver: it opens channels of every kind', async () => {
    const driver = createMock();
    const channel = {
      key: 'u1/holding/10',
      kind: 'analog',
      direction: 'out',
      address: { holding: 10 },
      debounceMs: 0,
    } as const;
    const opened = await driver.open(mockOptions(), [], {
      clock: new ManualClock(),
      log: { debug() {}, info() {}, warn() {}, error() {} },
      changed() {},
      down() {},
      count() {},
    });
    if (opened.kind !== 'port') throw new Error(opened.reason);
    const address = driver.pin.parse({ channel: 'x', type: 'analog' });
    expect(await opened.port.write({ ...channel, address }, 5)).toEqual({ readBack: 5 });
  });
});
