import { closeSync, constants, openSync, readFileSync, realpathSync } from 'node:fs';
import koffi from 'koffi';
import { afterEach, describe, expect, it } from 'vitest';
import { host } from '../../serial/guest/host.ts';
import { until } from '../../support/wait.ts';
import { channelOf, Owner } from '../owner.ts';

const UART = '/dev/ttyS1';
const ADAPTER = { vid: '0403', pid: '6001', serial: 'RIG1' };
const TIOCGSERIAL = 0x541e;
const ASYNC_LOW_LATENCY = 1 << 13;

let owner: Owner;
afterEach(() => owner.close());

/** The far end holds 4711 in holding register 5 of unit 1. */
const word = channelOf({ holding: 5 });
const timing = { line: '115200-8N1', poll: '200ms', timeout: '3s' };

function lowLatency(path: string): boolean {
  const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, void *argument)');
  const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  const serial = Buffer.alloc(128);
  const result: unknown = ioctl(fd, TIOCGSERIAL, serial);
  closeSync(fd);
  return result === 0 && (serial.readInt32LE(16) & ASYNC_LOW_LATENCY) !== 0;
}

/** RTS of ttyS1 as the kernel lists it. */
function rts(): boolean {
  const lines = readFileSync('/proc/tty/driver/serial', 'utf8').split('\n');
  return lines.find((text) => text.startsWith('1:'))?.includes('RTS') ?? false;
}

describe('Modbus on a UART of the machine', () => {
  it('reads a register, with low latency asked of the kernel', async () => {
    owner = new Owner({ serial: UART, ...timing }, [word]);
    await owner.open();
    await until('the value', () => owner.value(word) === 4711);
    expect(lowLatency(UART)).toBe(true);
    expect(rts()).toBe(true);
  });

  it('with rs485: rts holds RTS down but while it sends, and reads all the same', async () => {
    owner = new Owner({ serial: UART, rs485: 'rts', ...timing }, [word]);
    const port = await owner.open();
    await until('the value', () => owner.value(word) === 4711);
    expect(await port.read([word])).toEqual([{ ok: true, value: 4711 }]);
    await until('RTS to be down', () => !rts());
  });

  it('with rs485: kernel is told that this UART of the kernel cannot', async () => {
    owner = new Owner({ serial: UART, rs485: 'kernel', ...timing }, [word]);
    await expect(owner.open()).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      message: expect.stringMatching(/no RS-485 mode/),
    });
  });
});

describe('Modbus on a USB adapter named by its ids', () => {
  it('is read, bad when pulled out, and read again when it is back, by whatever name', async () => {
    owner = new Owner({ usb: ADAPTER, ...timing }, [word]);
    await owner.open();
    await until('the value', () => owner.value(word) === 4711);
    expect(lowLatency(realpathSync('/dev/ttyUSB0'))).toBe(true);
    await host('unplug');
    await until('it to be gone', () => owner.failure(word) === 'PORT_DOWN');
    await host('plug');
    await until('the value again', () => owner.value(word) === 4711, 30_000);
    expect(owner.opens).toBe(2);
  });
});
