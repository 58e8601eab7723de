import { describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import { SerialPort } from '../../drivers/serial/port.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { memoryLog, recordReadings } from '../support/ports.ts';

/** A port with one output on a device in the test's hand: `answers` are the device's bytes after each command. */
async function open(keys: object, ...answers: string[]) {
  const options = serial.options.parse({ path: 'x', timeout: '100ms' });
  const address = serial.pin.parse(keys);
  const { key = '', kind } = serial.describe(address, options);
  const channel = { key, kind, direction: 'out', address, debounceMs: 0 } as const;
  const clock = new ManualClock();
  const { changed, listen } = recordReadings();
  const context = { clock, log: memoryLog(), changed, count() {}, down() {} };
  const port = new SerialPort(options, 'x', [channel], context);
  const say = (text: string) => port.events.data(Buffer.from(text));
  const sent: string[] = [];
  await port.begin({
    async send(bytes) {
      sent.push(Buffer.from(bytes).toString());
      const answer = answers.shift();
      if (answer !== undefined) say(answer);
    },
    async close() {},
  });
  const seen: unknown[] = [];
  listen(channel, (reading: Reading) => seen.push(reading.ok ? reading.value : reading.error.code));
  return { port, channel, clock, sent, seen, say, write: (value: number) => port.write(channel, value) };
}

const setpoint = { write: 'SP{value}\n', match: '^SP=([0-9.]+)$', reply: '^(SP=|OK)' };

describe('a serial output whose own value is in the frames', () => {
  it('has the value that the device confirms, not the commanded one', async () => {
    const { seen, write } = await open(setpoint, 'SP=100\n');
    expect(await write(120)).toEqual({ readBack: 100 });
    expect(seen).toEqual([100]);
  });

  it('has the value that the device states right after its confirmation', async () => {
    const { write } = await open(setpoint, 'OK\nSP=100\nSP=101\n');
    expect(await write(120)).toEqual({ readBack: 101 });
  });

  it('has no read-back from before the confirmation: that value may be older than the command', async () => {
    const { clock, say, seen, write } = await open(setpoint, 'OK\n');
    await clock.advance(1000);
    say('SP=80\n');
    expect(await write(120)).toEqual({});
    expect(seen).toEqual([80]);
    const streaming = await open({ ...setpoint, reply: '^OK' }, 'SP=80\nOK\n');
    expect(await streaming.write(120)).toEqual({});
    expect(streaming.seen).toEqual([80]);
  });

  it('has the value confirmed to the repeated command', async () => {
    const { clock, sent, write } = await open({ ...setpoint, retries: 1 }, '', 'SP=100\n');
    const written = write(120);
    await clock.advance(300);
    expect(await written).toEqual({ readBack: 100 });
    expect(sent).toEqual(['SP120\n', 'SP120\n']);
  });

  it('states how much its template rounds, so that the rounded value confirms the command', async () => {
    const { port, channel, write } = await open({ ...setpoint, write: 'SP{value:.1f}\n' }, 'SP=121.7\n', 'OK\n');
    expect(await write(121.74)).toEqual({ readBack: 121.7 });
    expect(await write(121.74)).toEqual({});
    expect(port.resolution(channel, 121.74)).toBe(0.1);
  });

  it('has no read-back from a confirmation without a usable value', async () => {
    const { seen, write } = await open({ ...setpoint, match: '^SP=(.*)$' }, 'SP=--\n');
    expect(await write(120)).toEqual({});
    expect(seen).toEqual(['BAD_REPLY']);
  });
});
