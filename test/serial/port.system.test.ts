import { chmodSync, chownSync, realpathSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { type OpenedPort, openPort, type PinKeys } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { Device } from './device.ts';

const held: OpenedPort[] = [];
let device: Device;

beforeEach(async () => {
  device = new Device();
  await device.plug();
});
afterEach(async () => {
  for (const { port } of held.splice(0)) await port.close();
  await device.remove();
});

async function open(
  options: object = {},
  ...matches: object[]
): Promise<OpenedPort & { frames: string[]; seen: Reading[][] }> {
  const pins = matches.map((keys): PinKeys => ({ keys, direction: 'in' }));
  const made = await openPort(serial, { path: device.path, ...options }, pins);
  held.push(made);
  const frames: string[] = [];
  made.port.stream?.onFrame((frame) => frames.push(Buffer.from(frame).toString('latin1')));
  const seen = made.channels.map((channel) => {
    const readings: Reading[] = [];
    made.listen(channel, (reading) => readings.push(reading));
    return readings;
  });
  return { ...made, frames, seen };
}

/** The device is silent for so long after the opening that its next byte begins a frame. */
async function silence(): Promise<void> {
  await pause(250);
}

const values = (readings: readonly Reading[] = []) =>
  readings.map((reading) => (reading.ok ? reading.value : reading.error.code));

async function refusal(work: Promise<unknown>): Promise<DcsError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof DcsError) return error;
  throw new Error('was not refused with a DcsError', { cause: error });
}

describe('serial port', () => {
  it('tells every line that matches as a reading, and keeps the last one to be read', async () => {
    const { port, channels, frames, seen, counters } = await open({}, { match: 'ST,GS,\\s*([-+0-9.]+)kg' });
    await silence();
    device.say('ST,GS,  12.5kg\r\nnoise\nST,GS,  12.5kg\r\nST,GS,-3kg\r\n');
    await until('three readings', () => seen[0]?.length === 3);
    expect(values(seen[0])).toEqual([12.5, 12.5, -3]);
    expect(frames).toEqual(['ST,GS,  12.5kg\r', 'noise', 'ST,GS,  12.5kg\r', 'ST,GS,-3kg\r']);
    expect(counters.get('frames_unmatched')).toBe(1);
    expect(values(await port.read(channels))).toEqual([-3]);
  });

  it('does not take the rest of a frame that was under way at the opening for a value', async () => {
    const talk = setInterval(() => device.say('123.5kg\n'.repeat(20)), 1);
    // The tty has bytes from before the opening, and more come in the middle of a line.
    device.say('3.5kg\n');
    const { seen, counters } = await open({}, { match: '([0-9.]+)kg' });
    await until('readings', () => (seen[0]?.length ?? 0) > 50);
    clearInterval(talk);
    expect(new Set(values(seen[0]))).toEqual(new Set([123.5]));
    expect(counters.get('frames_partial')).toBe(1);
  });

  it('a capture that is no number makes the reading bad, never wrong', async () => {
    const { seen, counters } = await open({}, { match: 'W([^;]*);' }, { match: 'door=(\\w+)', type: 'bool' });
    await silence();
    device.say('W1.5;\nW--.--;\nW;\ndoor=on\ndoor=ajar\n');
    await until('all', () => seen[0]?.length === 3 && seen[1]?.length === 2);
    expect(values(seen[0])).toEqual([1.5, 'BAD_REPLY', 'BAD_REPLY']);
    expect(values(seen[1])).toEqual([true, 'BAD_REPLY']);
    expect(counters.get('bad_captures')).toBe(3);
  });

  it('a read before the first match is a failure that says so', async () => {
    const { port, channels } = await open({}, { match: '(\\d+)' });
    expect(values(await port.read(channels))).toEqual(['TIMEOUT']);
  });

  it('sends byte for byte, in the order asked, also more than the kernel holds at once', async () => {
    const { port, counters } = await open();
    const every = Uint8Array.from({ length: 256 }, (_, at) => at);
    const parts = Array.from({ length: 200 }, (_, at) => Buffer.concat([every, Buffer.from([at])]));
    const sent = await Promise.all(parts.map((part) => port.stream?.send(part)));
    expect(sent).toEqual(parts.map((part) => part.length));
    const all = Buffer.concat(parts);
    await until('all bytes', () => device.received.length >= all.length);
    expect(device.received.equals(all)).toBe(true);
    expect(counters.get('bytes_out')).toBe(all.length);
  });

  it('the caller may reuse its buffer while a send waits', async () => {
    const { port } = await open();
    const buffer = Buffer.from('first\n');
    const sends = [port.stream?.send(Buffer.alloc(5000, '.')), port.stream?.send(buffer)];
    buffer.fill('x');
    await Promise.all(sends);
    await until('all bytes', () => device.received.length >= 5006);
    expect(device.received.subarray(5000).toString()).toBe('first\n');
  });

  it('queues a bounded number of bytes', async () => {
    const { port, counters } = await open();
    const sends = Array.from({ length: 20 }, () =>
      port.stream?.send(Buffer.alloc(10_000)).then(String, (e: DcsError) => e.code),
    );
    expect(await Promise.all(sends)).toContain('BUSY');
    expect(counters.get('sends_refused')).toBeGreaterThan(0);
  });

  it('uses the delimiter, also when it is written with escapes', async () => {
    const { frames, counters } = await open({ framing: { delimiter: '\\x03', max: 5 } });
    device.say('a\nb\x03toolong\x03c\x03');
    await until('the frames', () => frames.length === 2);
    expect(frames).toEqual(['a\nb', 'c']);
    expect(counters.get('frames_overlong')).toBe(1);
    expect(counters.get('bytes_dropped')).toBe(7);
  });

  it('characters that an encoding lacks never become digits', async () => {
    const { seen } = await open({ encoding: 'ascii' }, { match: '^(.*)kg', type: 'text' });
    await silence();
    device.say(Buffer.from([0xb1, 0x32, 0x6b, 0x67, 0x0a]));
    await until('a reading', () => seen[0]?.length === 1);
    expect(values(seen[0])).toEqual(['\uFFFD2']);
  });
});

describe('serial port unplugged', () => {
  it('reports down once, rejects what is pending and all later calls', async () => {
    const made = await open({}, { match: '(\\d+)' });
    const blocked = refusal(Promise.resolve(made.port.stream?.send(Buffer.alloc(50_000))));
    await device.unplug();
    await until('down', () => made.downs.length > 0);
    // TIMEOUT when a part of the bytes was sent before.
    expect(['PORT_DOWN', 'TIMEOUT']).toContain((await blocked).code);
    expect((await refusal(Promise.resolve(made.port.stream?.send(Buffer.from('late'))))).code).toBe('PORT_DOWN');
    expect((await refusal(made.port.read(made.channels))).code).toBe('PORT_DOWN');
    await made.port.close();
    expect(made.downs.length).toBe(1);
  });

  it('never sends an old write after replugging', async () => {
    const first = await open();
    await device.unplug();
    await until('down', () => first.downs.length > 0);
    await refusal(Promise.resolve(first.port.stream?.send(Buffer.from('old'))));
    await first.port.close();
    await device.plug();
    const second = await open();
    await second.port.stream?.send(Buffer.from('new'));
    await until('the new write', () => device.received.length >= 3);
    expect(device.received.toString()).toBe('new');
  });

  it('is noticed every time, also while data arrives', async () => {
    for (let round = 0; round < 12; round++) {
      const made = await open();
      const talk = setInterval(() => device.say(`${'x'.repeat(400)}\n`.repeat(4)), 1);
      await until('data', () => made.frames.length > 50);
      await device.unplug();
      clearInterval(talk);
      await until('down', () => made.downs.length > 0, 1000);
      await made.port.close();
      await device.plug();
    }
  });
});

describe('a serial port that cannot be opened', () => {
  it('is PORT_DOWN when it is missing, because it may be plugged in later', async () => {
    const error = await refusal(openPort(serial, { path: '/dev/serial/by-id/usb-nothing' }, []));
    expect([error.code, error.retryable]).toEqual(['PORT_DOWN', true]);
    expect(error.message).toContain('/dev/serial/by-id/usb-nothing is not there');
  });

  it('is BUSY while another program holds it, and free once it is closed', async () => {
    const first = await open();
    expect((await refusal(open())).code).toBe('BUSY');
    await first.port.close();
    await open();
  });

  it('is NOT_SUPPORTED when the path is no serial port', async () => {
    for (const path of ['/dev/null', '/tmp']) {
      expect((await refusal(openPort(serial, { path }, []))).code).toBe('NOT_SUPPORTED');
    }
  });

  it('is NO_PERMISSION, naming the group to join, for a user without access', async () => {
    await open().then(({ port }) => port.close());
    const tty = realpathSync(device.path);
    const end = asStranger(tty);
    try {
      const error = await refusal(openPort(serial, { path: tty }, []));
      expect(error.code).toBe('NO_PERMISSION');
      expect(`${error.expected}`).toMatch(/usermod -aG \S+ \$USER/);
      if (process.getuid?.() === 0) expect(error.message).toContain('group dialout');
    } finally {
      end();
    }
  });
});

/** Makes this process one that may not open the tty; gives the way back. Root may open anything, so it steps down. */
function asStranger(tty: string): () => void {
  if (process.getuid?.() !== 0) {
    chmodSync(tty, 0);
    return () => chmodSync(tty, 0o600);
  }
  const DIALOUT = 20;
  chownSync(tty, 0, DIALOUT);
  chmodSync(tty, 0o660);
  const groups = process.getgroups?.() ?? [];
  process.setgroups?.([]);
  process.setegid?.(65_534);
  process.seteuid?.(65_534);
  return () => {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.(groups);
  };
}
