import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import { FrameReceiver } from '../../drivers/serial/frame-receiver.ts';
import { escapeIac, TelnetReader } from '../../drivers/serial/line/telnet.ts';
import { ErrorMarks } from '../../drivers/serial/line/tty.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { findUsb, lastingPaths, listPorts } from '../../src/driver/kit/serial-ports.ts';
import { memoryLog } from '../support/ports.ts';
import { cutAnyhow, everySplit } from './framers.ts';

describe('bytes that the kernel marks as damaged', () => {
  function unmark(pieces: readonly Buffer[]): string {
    let told = '';
    const marks = new ErrorMarks(
      (bytes) => {
        told += bytes.toString('latin1');
      },
      (byte) => {
        told += `<${byte.toString('hex')}>`;
      },
    );
    for (const piece of pieces) marks.push(piece);
    return told;
  }

  it('are found wherever the bytes are split', () => {
    const bytes = Buffer.from('ab\xff\xffc\xff\x00Xd\xff\x00\x00\xff\xff\xff\x00\xff.', 'latin1');
    const whole = 'ab\xffc<58>d<00>\xff<ff>.';
    expect(unmark([bytes])).toBe(whole);
    for (const pieces of everySplit(bytes)) expect(unmark(pieces)).toBe(whole);
  });

  function lines(
    framing: object,
    feed: (inlet: FrameReceiver) => void,
  ): { frames: string[]; counters: Map<string, number> } {
    const frames: string[] = [];
    const counters = new Map<string, number>();
    const context = {
      clock: new ManualClock(),
      log: memoryLog(),
      down: () => undefined,
      count: (name: string, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by),
    };
    const silent = { matching: false, keys: undefined };
    const inlet = new FrameReceiver(serial.options.parse({ path: 'x', framing }), [], silent, context, {
      frame: (bytes) => void frames.push(Buffer.from(bytes).toString('latin1')),
      matched: () => undefined,
      patternTimeout: () => undefined,
      unreadable: () => undefined,
    });
    feed(inlet);
    return { frames, counters };
  }

  it('drop their frame, and the frame that may have begun with them, and no other', () => {
    const { frames, counters } = lines({}, (inlet) => {
      inlet.push(Buffer.from('W10.0\nW1'));
      inlet.damaged(Buffer.from('2'));
      inlet.push(Buffer.from('.5\nW3.0\nW4'));
      // A disturbed digit that looks like a line end: neither half is a value.
      inlet.damaged(Buffer.from('\n'));
      inlet.push(Buffer.from('5.6\nW7.0\n'));
    });
    expect(frames).toEqual(['W10.0', 'W3.0', 'W7.0']);
    expect(counters.get('line_errors')).toBe(2);
    expect(counters.get('frames_damaged')).toBe(3);
  });
});

describe('telnet', () => {
  function read(pieces: readonly Buffer[]): { data: string; commands: string[] } {
    const told = { data: '', commands: [] as string[] };
    const reader = new TelnetReader({
      data: (bytes) => {
        told.data += bytes.toString('latin1');
      },
      negotiation: (verb, option) => void told.commands.push(`${verb} ${option}`),
      subnegotiation: (bytes) => void told.commands.push(bytes.toString('hex')),
    });
    for (const piece of pieces) reader.push(piece);
    return told;
  }

  it('removes commands from the data wherever the bytes are split', () => {
    const bytes = Buffer.from(
      'a\xff\xffb\xff\xfd\x2cc\xff\xfa\x2c\x65\xff\xff\xff\xf0d\xff\xf1e\xff\xfb\x00',
      'latin1',
    );
    const whole = { data: 'a\xffbcde', commands: ['do 44', '2c65ff', 'will 0'] };
    expect(read([bytes])).toEqual(whole);
    for (const pieces of everySplit(bytes)) expect(read(pieces)).toEqual(whole);
  });

  it('passes any data unchanged', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(fc.integer({ min: 0, max: 9 })), (data, cuts) => {
        const told = read(cutAnyhow(escapeIac(data), cuts));
        expect(told).toEqual({ data: Buffer.from(data).toString('latin1'), commands: [] });
      }),
    );
  });
});

describe('ports by their USB ids', () => {
  const root = mkdtempSync(join(tmpdir(), 'dcs-io-sysfs-'));
  const put = (path: string, files: Record<string, string>) => {
    mkdirSync(join(root, path), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, path, name), `${text}\n`);
  };
  const tty = (name: string, device: string | undefined, files: Record<string, string> = {}) => {
    put(`class/${name}`, files);
    if (device) symlinkSync(join(root, device), join(root, 'class', name, 'device'));
  };
  for (const [bus, serialNumber] of [
    ['1-1', 'A100'],
    ['1-2', 'A200'],
  ]) {
    put(`usb/${bus}`, { idVendor: '0403', idProduct: '6011', serial: `${serialNumber}`, product: 'Quad' });
    for (const at of ['00', '01']) put(`usb/${bus}/${bus}:1.${at}/ttyUSB`, {});
    for (const at of ['00', '01']) put(`usb/${bus}/${bus}:1.${at}`, { bInterfaceNumber: at });
  }
  put('usb/1-3/1-3:1.0', { bInterfaceNumber: '00' });
  put('usb/1-3', { idVendor: '2341', idProduct: '0043' });
  put('platform/serial8250', {});
  tty('ttyUSB0', 'usb/1-1/1-1:1.00/ttyUSB');
  tty('ttyUSB1', 'usb/1-1/1-1:1.01/ttyUSB');
  tty('ttyUSB10', 'usb/1-2/1-2:1.00/ttyUSB');
  tty('ttyUSB2', 'usb/1-2/1-2:1.01/ttyUSB');
  tty('ttyACM0', 'usb/1-3/1-3:1.0');
  tty('ttyS0', 'platform/serial8250', { type: '4' });
  tty('ttyS1', 'platform/serial8250', { type: '0' });
  tty('tty1', undefined);
  const ports = listPorts(join(root, 'class'));
  rmSync(root, { recursive: true });

  it('the list has the real serial ports with their USB data', () => {
    expect(ports.map(({ path }) => path)).toEqual(
      ['ACM0', 'S0', 'USB0', 'USB1', 'USB2', 'USB10'].map((name) => `/dev/tty${name}`),
    );
    expect(ports[0]).toEqual({ path: '/dev/ttyACM0', vid: '2341', pid: '0043', interface: 0 });
    expect(ports[3]).toMatchObject({ vid: '0403', pid: '6011', serial: 'A100', interface: 1, product: 'Quad' });
  });

  it('finds the port that fits; lists those that fit when there are several, and those present when none does', () => {
    expect(findUsb({ vid: '2341', pid: '0043' }, ports)).toBe('/dev/ttyACM0');
    expect(findUsb({ vid: '0403', pid: '6011', serial: 'A200', interface: 0 }, ports)).toBe('/dev/ttyUSB10');
    expect(() => findUsb({ vid: '0403', pid: '6011', serial: 'A200' }, ports)).toThrow('2 serial ports are USB');
    expect(() => findUsb({ vid: 'dead', pid: 'beef' }, ports)).toThrow('no serial port with USB dead:beef');
  });

  it('maps the ports present to their permanent names; a port just unplugged has none', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dcs-io-by-id-'));
    symlinkSync('/dev/null', join(folder, 'usb-Quad-if00'));
    symlinkSync(join(folder, 'gone'), join(folder, 'usb-Gone-if00'));
    expect([...lastingPaths(folder)]).toEqual([['/dev/null', join(folder, 'usb-Quad-if00')]]);
    expect([...lastingPaths(join(folder, 'none'))]).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it('the options want a path or ids, and a network path in full', () => {
    const complaint = (options: object) => serial.options.safeParse(options).error?.issues[0]?.message;
    expect(complaint({})).toContain('path or usb');
    expect(complaint({ path: 'x', usb: { vid: '0403', pid: '6001' } })).toContain('not both');
    expect(complaint({ usb: { vid: '0x0403', pid: '6001' } })).toBeUndefined();
    expect(complaint({ usb: { vid: '403', pid: '6001' } })).toContain('four hexadecimal digits');
    expect(complaint({ path: 'tcp://scale:99999' })).toContain('tcp://host:port');
    expect(complaint({ path: 'http://scale:80' })).toContain('tcp://host:port');
    expect(complaint({ path: 'rfc2217://[fe80::1]:4000' })).toBeUndefined();
  });
});
