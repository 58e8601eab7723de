import { describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import type { Transport } from '../../drivers/serial/line/transport.ts';
import { SerialPort } from '../../drivers/serial/port.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel, Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { memoryLog, recordReadings } from '../support/ports.ts';

/** A port on a scripted line: `sent` is what went out, `say` what the device says. Time is the test's. */
async function line(options: object, pins: object[]) {
  const clock = new ManualClock();
  const counters = new Map<string, number>();
  const sent: string[] = [];
  const downs: DcsError[] = [];
  const parsed = serial.options.parse({ path: 'test', ...options });
  const channels = pins.map((keys): Channel<ReturnType<typeof serial.pin.parse>> => {
    const address = serial.pin.parse(keys);
    const { kind, directions } = serial.describe(address, parsed);
    return { key: address.key, kind, direction: directions[0] ?? 'in', address, debounceMs: 0 };
  });
  const { changed, listen } = recordReadings();
  const port = new SerialPort(parsed, 'test', channels, {
    clock,
    log: memoryLog(),
    changed,
    down: (error) => downs.push(error),
    count: (name, by = 1) => counters.set(name, (counters.get(name) ?? 0) + by),
  });
  const transport: Transport = {
    send: async (bytes) => {
      sent.push(Buffer.from(bytes).toString('latin1'));
    },
    close: async () => {},
  };
  await port.begin(transport);
  const seen = channels.map((channel) => {
    const values: unknown[] = [];
    listen(channel, (reading) => values.push(outcome(reading)));
    return values;
  });
  const say = async (text: string) => {
    port.events.data(Buffer.from(text, 'latin1'));
    await clock.advance(0);
  };
  const channel = (at: number) => {
    const found = channels[at];
    if (!found) throw new Error(`no pin ${at}`);
    return found;
  };
  await clock.advance(0);
  return { clock, counters, sent, port, channels, channel, seen, say, downs };
}

const outcome = (reading: Reading) => (reading.ok ? reading.value : reading.error.code);
const settled = (work: Promise<unknown>): { now: string } => {
  const state = { now: 'pending' };
  work.then(
    () => {
      state.now = 'done';
    },
    (error: unknown) => {
      state.now = error instanceof DcsError ? error.code : String(error);
    },
  );
  return state;
};

const T = { match: '^([-0-9.]+)$', ask: 'T?\\n', poll: '1s' };
const H = { match: '^([-0-9.]+)$', ask: 'H?\\n', poll: '1s' };

describe('asking', () => {
  it('asks at once and then at a fixed rate, one at a time, and each answer goes to its own pin', async () => {
    const { clock, sent, seen, say } = await line({}, [T, H]);
    expect(sent).toEqual(['T?\n']);
    await say('21.5\n');
    expect(sent).toEqual(['T?\n', 'H?\n']);
    await say('55\n');
    expect(seen).toEqual([[21.5], [55]]);
    await clock.advance(999);
    expect(sent.length).toBe(2);
    await clock.advance(1);
    expect(sent.length).toBe(3);
  });

  it('a late answer never becomes the value of the next poll', async () => {
    const { clock, sent, seen, say, counters } = await line({ timeout: '200ms', retries: 0 }, [T, H]);
    await clock.advance(205);
    expect(seen).toEqual([['TIMEOUT'], []]);
    // The line is left in quiet: the late answer may still come.
    expect(sent).toEqual(['T?\n']);
    await say('99\n');
    expect(sent).toEqual(['T?\n', 'H?\n']);
    await say('55\n');
    expect(seen).toEqual([['TIMEOUT'], [55]]);
    expect(counters.get('late_answers')).toBe(1);
  });

  it('asks again as often as retries says, each time after the quarantine', async () => {
    const { clock, sent, seen, say, counters } = await line({ timeout: '200ms', retries: 1 }, [T]);
    await clock.advance(250);
    expect(sent).toEqual(['T?\n']);
    await clock.advance(200);
    expect(sent).toEqual(['T?\n', 'T?\n']);
    await say('21\n');
    expect(seen).toEqual([[21]]);
    expect([counters.get('timeouts'), counters.get('retries')]).toEqual([1, 1]);
  });

  it('a pin stays good while answers are lost, is asked again soon, and is bad after as many requests as `misses`', async () => {
    const keys = { timeout: '100ms', retries: 1, misses: 6 };
    const { clock, sent, seen, say } = await line(keys, [
      { ...T, poll: '1h' },
      { ...H, poll: '1h' },
    ]);
    await say('21\n');
    await clock.advance(2500);
    await say('55\n');
    // The first request for the humidity was lost until then: it had no value to keep.
    expect(seen[0]).toEqual([21]);
    await clock.advance(3_600_000 - 2600);
    sent.length = 0;
    await clock.advance(5100);
    // Three times the question and its repetition, a second apart.
    expect(sent.filter((one) => one === 'T?\n').length).toBe(6);
    expect(seen[0]).toEqual([21, 'TIMEOUT']);
  });

  it('a pin says nothing of answers that are lost now and then', async () => {
    const { clock, seen, say } = await line({ timeout: '100ms' }, [T]);
    for (let turn = 0; turn < 20; turn++) {
      // Three polls of four, with their repetition, get no answer.
      if (turn % 4 === 0) await say('21\n');
      await clock.advance(1000);
    }
    expect(new Set(seen[0])).toEqual(new Set([21]));
  });

  it('unsolicited lines do not disturb a pending poll, and reach their pins', async () => {
    const { seen, say, counters } = await line({}, [T, { match: '^ALARM (\\d)$', type: 'bool' }]);
    await say('ALARM 1\nboot ok\n21\nALARM 0\n77\n');
    expect(seen).toEqual([[21], [true, false]]);
    // 'boot ok', and a number nobody asked for.
    expect(counters.get('frames_unmatched')).toBe(2);
  });

  it('one answer fills all pins that ask the same, in one frame or several', async () => {
    const { sent, seen, say } = await line({}, [
      { match: '([-0-9.]+)C', ask: 'READ', poll: '1s' },
      { match: '([-0-9.]+)%', ask: 'READ', poll: '1s' },
    ]);
    expect(sent).toEqual(['READ']);
    await say('16.02C,55.85%\n');
    expect(seen).toEqual([[16.02], [55.85]]);
  });

  it('pins without their part of the answer fail; the others keep their values', async () => {
    const { clock, seen, say } = await line({ timeout: '100ms', retries: 0 }, [
      { match: '([-0-9.]+)C', ask: 'READ', poll: '1s' },
      { match: '([-0-9.]+)%', ask: 'READ', poll: '1s' },
    ]);
    await say('16.02C\n');
    await clock.advance(150);
    expect(seen).toEqual([[16.02], ['TIMEOUT']]);
  });

  it('a read asks now', async () => {
    const { port, channels, sent, say, clock } = await line({}, [{ ...T, poll: '1h' }]);
    await say('1\n');
    const reading = port.read(channels);
    await clock.advance(0);
    expect(sent.length).toBe(2);
    await say('2\n');
    expect((await reading).map(outcome)).toEqual([2]);
  });

  it('polls that are due while one is under way are skipped and counted, never queued', async () => {
    const { clock, sent, counters } = await line({ timeout: '1s', retries: 0 }, [{ ...T, poll: '100ms' }]);
    await clock.advance(950);
    expect(sent.length).toBe(1);
    expect(counters.get('polls_skipped')).toBe(9);
  });

  it('with echo the repeated command is no answer', async () => {
    const { seen, say, counters } = await line({ echo: true }, [{ match: '(\\d+)', ask: 'R7\\r\\n', poll: '1s' }]);
    await say('R7\r\n42\r\n');
    expect(seen).toEqual([[42]]);
    expect(counters.get('echoes')).toBe(1);
  });
});

describe('commands', () => {
  const SETPOINT = { write: 'SP{value:.1f}\\n', reply: '^OK$', refused: '^ERR' };

  it('resolves when the device confirms, rejects when it refuses or does not answer', async () => {
    const { port, channel, say, sent, clock } = await line({ timeout: '100ms' }, [SETPOINT]);
    const first = settled(port.write(channel(0), 21));
    await clock.advance(0);
    expect([sent.at(-1), first.now]).toEqual(['SP21.0\n', 'pending']);
    await say('OK\n');
    expect(first.now).toBe('done');
    const second = settled(port.write(channel(0), 22));
    await clock.advance(0);
    await say('ERR 7\n');
    expect(second.now).toBe('DEVICE_REFUSED');
    const third = settled(port.write(channel(0), 23));
    await clock.advance(110);
    expect(third.now).toBe('TIMEOUT');
    expect(sent).toEqual(['SP21.0\n', 'SP22.0\n', 'SP23.0\n']);
  });

  it('goes before polls that wait', async () => {
    const { port, channel, say, sent } = await line({}, [T, H, { write: 'W{value}\\n' }]);
    void port.write(channel(2), 1);
    await say('1\n');
    expect(sent).toEqual(['T?\n', 'W1\n', 'H?\n']);
  });

  it('bytes of a stream wait for the answer under way, too', async () => {
    const { port, say, sent } = await line({}, [T]);
    void port.stream?.send(Buffer.from('raw'));
    await say('unsolicited\n');
    expect(sent).toEqual(['T?\n']);
    await say('1\n');
    expect(sent).toEqual(['T?\n', 'raw']);
  });

  it('is refused before anything is sent when the value does not fit', async () => {
    const { port, channel, sent } = await line({}, [{ write: '{value:02d}\\n' }]);
    await expect(port.write(channel(0), 100)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await expect(port.write(channel(0), 'x')).rejects.toMatchObject({ code: 'BAD_VALUE' });
    expect(sent).toEqual([]);
  });

  it('everything that waits is settled at once when the line is lost; a command that was sent is in doubt', async () => {
    const { port, channel, downs, clock, sent } = await line({}, [SETPOINT]);
    const waiting = [port.write(channel(0), 1), port.write(channel(0), 2), port.read([])].map(settled);
    await clock.advance(0);
    port.events.lost(new DcsError('PORT_DOWN', 'unplugged'));
    await clock.advance(0);
    expect(sent).toEqual(['SP1.0\n']);
    expect(waiting.map(({ now }) => now)).toEqual(['TIMEOUT', 'PORT_DOWN', 'done']);
    expect(downs.length).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it('a command is in doubt, too, when the line is lost before its repetition', async () => {
    const { port, channel, clock } = await line({ timeout: '100ms' }, [{ ...SETPOINT, retries: 3 }]);
    const written = settled(port.write(channel(0), 1));
    await clock.advance(150);
    port.events.lost(new DcsError('PORT_DOWN', 'unplugged'));
    await clock.advance(0);
    expect(written.now).toBe('TIMEOUT');
  });

  it('a question that was sent is not: its pins fail with the port', async () => {
    const { port, channels, clock, sent } = await line({}, [T]);
    const read = settled(port.read(channels));
    port.events.lost(new DcsError('PORT_DOWN', 'unplugged'));
    await clock.advance(0);
    expect([sent, read.now, clock.pending]).toEqual([['T?\n'], 'PORT_DOWN', 0]);
  });
});

describe('frames and their values', () => {
  it('a pin goes bad when nothing has matched for its max_age, once, and heals', async () => {
    const { clock, seen, say } = await line({}, [{ match: '(\\d+)', max_age: '5s' }]);
    await clock.advance(1000);
    await say('1\n');
    await clock.advance(4000);
    await say('2\n');
    await clock.advance(4999);
    expect(seen).toEqual([[1, 2]]);
    await clock.advance(5000);
    expect(seen).toEqual([[1, 2, 'TIMEOUT']]);
    await say('3\n');
    expect(seen).toEqual([[1, 2, 'TIMEOUT', 3]]);
  });

  it('the first frame counts only after a silence: the device may have been sending when the port was opened', async () => {
    const weight = { match: '([0-9.]+)kg' };
    const busy = await line({}, [weight]);
    await busy.clock.advance(40);
    await busy.say('3.5');
    await busy.clock.advance(40);
    await busy.say('kg\n123.6kg\n');
    expect(busy.seen).toEqual([[123.6]]);
    expect(busy.counters.get('frames_partial')).toBe(1);
    const scanner = await line({}, [{ match: '^([0-9]+)$' }]);
    await scanner.clock.advance(100);
    await scanner.say('4006381333931\n');
    expect(scanner.seen).toEqual([[4006381333931]]);
    expect(scanner.counters.has('frames_partial')).toBe(false);
    await Promise.all([busy.port.close(), scanner.port.close()]);
    const closed = await line({}, [weight]);
    await closed.port.close();
    expect(closed.clock.pending).toBe(0);
  });

  it('a first frame that the line end of another completes is one', async () => {
    const { seen, say } = await line({}, [{ match: '([0-9.]+)kg' }]);
    await say('\n123.5kg\n');
    expect(seen).toEqual([[123.5]]);
  });

  it.each([
    { why: 'its checksum is right', options: { checksum: { type: 'xor8', as: 'hex', from: 1, before: 1 } } },
    { why: 'it has its start mark', options: { framing: { start: '$', end: '\\r\\n' } } },
  ])('the first frame counts at once where $why', async ({ options }) => {
    const { seen, say } = await line(options, [{ match: 'A(\\d)' }]);
    await say('$A1*70\r\n');
    expect(seen).toEqual([[1]]);
  });

  it('the first frame counts at once after bytes were sent: it may be the answer', async () => {
    const { port, seen, say } = await line({}, [{ match: '([0-9.]+)kg' }, { write: 'W{value}\\n' }]);
    await port.stream?.send(Buffer.from('W\n'));
    await say('3.5kg\n');
    expect(seen[0]).toEqual([3.5]);
  });

  it('named captures and binary fields become pins of their own', async () => {
    const { seen, say, channels } = await line({ framing: { length: 6, start: '\\xaa' }, encoding: 'binary' }, [
      { match: '^\\xaa\\xc0', at: 2, as: 'u16le' },
      { match: '^\\xaa\\xc1', at: 2, as: 'i16be' },
      { at: 1, as: 'u8' },
      { match: '^\\xaa(?<command>.)(?<rest>[^]*)$', capture: 'command', type: 'text' },
      { match: '^\\xaa\\xc0', at: 4, as: 'f32le' },
    ]);
    expect(new Set(channels.map(({ key }) => key)).size).toBe(5);
    await say('\xaa\xc0\x10\x27\x00\x00\xaa\xc1\xff\xfe\x00\x00');
    expect(seen).toEqual([[10000], [-2], [0xc0, 0xc1], ['\xc0', '\xc1'], ['BAD_REPLY']]);
  });

  it('a frame with a wrong checksum is dropped and counted', async () => {
    const nmea = { checksum: { type: 'xor8', as: 'hex', from: 1, before: 1 } };
    const { port, seen, say, counters } = await line(nmea, [{ match: '^\\$GPGLL,([^,]*),', type: 'text' }]);
    const frames: string[] = [];
    port.stream?.onFrame((frame) => frames.push(Buffer.from(frame).toString()));
    await say(
      '$GPGLL,5300.97914,N,00259.98174,E,125926,A*28\r\n$GPGLL,5300.97915,N,00259.98174,E,125926,A*28\r\n*\r\n\r\n',
    );
    expect(seen).toEqual([['5300.97914']]);
    expect(frames).toEqual(['$GPGLL,5300.97914,N,00259.98174,E,125926,A*28\r']);
    expect(counters.get('frames_checksum')).toBe(3);
  });
});

describe('a command with a deadline', () => {
  const O = { write: 'O{value:1|0}\\n', type: 'bool', reply: '^ok$', retries: 2 };

  it('is not sent once it has waited too long behind a poll without an answer', async () => {
    const { clock, sent, port, channel } = await line({ timeout: '500ms' }, [T, O]);
    expect(sent).toEqual(['T?\n']);
    const written = settled(port.write(channel(1), true, { expiresAt: clock.now() + 300 }));
    await clock.advance(5000);
    expect(written.now).toBe('EXPIRED');
    expect(sent).not.toContain('O1\n');
    await port.close();
  });

  it('is not sent again after it', async () => {
    const { clock, sent, port, channel } = await line({ timeout: '500ms' }, [O]);
    const written = settled(port.write(channel(0), true, { expiresAt: clock.now() + 700 }));
    await clock.advance(5000);
    expect(sent).toEqual(['O1\n']);
    expect(written.now).toBe('TIMEOUT');
    await port.close();
  });
});
