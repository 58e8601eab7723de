import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { serial } from '../../../drivers/serial/driver.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import { listPorts } from '../../../src/driver/kit/serial-ports.ts';
import { PortRunner } from '../../../src/io/port-runner.ts';
import { cliFile } from '../../support/agent-process.ts';
import { memoryLog, type OpenedPort, openPort } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { host } from './host.ts';

const UART = '/dev/ttyS1';
const ADAPTER = { vid: '0403', pid: '6001', serial: 'RIG1' };

let held: OpenedPort | undefined;
afterEach(async () => {
  await held?.port.close();
  held = undefined;
});

async function open(options: object, keys: object[] = []) {
  const made = await openPort(
    serial,
    { line: '115200-8N1', ...options },
    keys.map((one) => ({
      keys: one,
      direction: 'control' in one && !('sensed' in one) ? ('out' as const) : ('in' as const),
    })),
  );
  held = made;
  const frames: string[] = [];
  made.port.stream?.onFrame((frame) => void frames.push(Buffer.from(frame).toString('latin1')));
  return { ...made, frames };
}

/** The modem lines of ttyS1 as the kernel lists them: opening the port to ask would raise them. */
function modemLines(): string[] {
  const line = readFileSync('/proc/tty/driver/serial', 'utf8')
    .split('\n')
    .find((text) => text.startsWith('1:'));
  return ['DTR', 'RTS'].filter((name) => line?.includes(name));
}

describe('a UART of the machine', () => {
  it('lines go both ways', async () => {
    const { port, frames } = await open({ path: UART });
    await port.stream?.send(Buffer.from('hello\n'));
    await until('the answer', () => frames.length > 0);
    expect(frames).toEqual(['you said hello']);
  });

  it('DTR and RTS are as asked for, at opening and by pins', async () => {
    const { port, channels } = await open({ path: UART, dtr: false, rts: true }, [
      { control: 'dtr' },
      { control: 'rts' },
    ]);
    expect(modemLines()).toEqual(['RTS']);
    const [dtr, rts] = channels;
    if (!dtr || !rts) throw new Error('no pins');
    await port.write(dtr, true);
    await port.write(rts, false);
    expect(modemLines()).toEqual(['DTR']);
    await port.read(channels);
  });

  it('hupcl is left clear when asked', async () => {
    for (const hupcl of [false, true]) {
      const { port } = await open({ path: UART, hupcl });
      const settings = execFileSync('stty', ['-F', UART, '-a'], { encoding: 'utf8' });
      expect(settings).toMatch(hupcl ? /[^-]hupcl/ : /-hupcl/);
      expect(settings).toMatch(/[^-]inpck/);
      expect(settings).toMatch(/[^-]parmrk/);
      await port.close();
    }
  });

  it('a break in the midst of a line makes no value of its halves', async () => {
    const { frames, counters } = await open({ path: UART });
    // The host sends W1, a break, 2.5 and a line end, then a good line.
    await host('break');
    await until('the good line', () => frames.length > 0);
    expect(frames).toEqual(['W7.0']);
    expect(counters.get('line_errors')).toBeGreaterThanOrEqual(1);
    expect(counters.get('frames_damaged')).toBeGreaterThanOrEqual(1);
  });

  it('low latency is tried and tolerated', async () => {
    const { port, frames } = await open({ path: UART, low_latency: true });
    await port.stream?.send(Buffer.from('fast\n'));
    await until('the answer', () => frames.length > 0);
  });
});

describe('a USB adapter', () => {
  it('`dcs-io serial list` shows it with what USB says, beside the UARTs', () => {
    const listed = execFileSync(process.execPath, [cliFile, 'serial', 'list', '--json'], { encoding: 'utf8' });
    const ports = listed
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(ports.map(({ path }) => path)).toContain(UART);
    expect(ports.find(({ serial: number }) => number === 'RIG1')).toMatchObject({
      path: '/dev/ttyUSB0',
      vid: '0403',
      pid: '6001',
    });
  });

  it('is found by its ids, also after replugging, and gets no old write', async () => {
    const first = await open({ usb: ADAPTER });
    await first.port.stream?.send(Buffer.from('one\n'));
    await until('the answer', () => first.frames.length > 0);
    expect(first.frames).toEqual(['you said one']);
    await host('unplug');
    await until('down', () => first.downs.length > 0);
    await expect(first.port.stream?.send(Buffer.from('old\n'))).rejects.toMatchObject({ code: 'PORT_DOWN' });
    await first.port.close();
    await expect(open({ usb: ADAPTER })).rejects.toMatchObject({ code: 'PORT_DOWN' });
    await host('plug');
    const again = await until('the adapter', () => open({ usb: ADAPTER }).catch(() => undefined));
    await again.port.stream?.send(Buffer.from('two\n'));
    await until('the answer', () => again.frames.length > 0);
    expect(again.frames).toEqual(['you said two']);
  });

  it('was away for long: its port opens again by itself when it is replugged, and nothing asked meanwhile is sent', async () => {
    const options = serial.options.parse({ usb: ADAPTER, line: '115200-8N1' });
    const runner = new PortRunner('usb', serial, options, [], { clock: systemClock, log: memoryLog() });
    const frames: string[] = [];
    runner.onStream((stream) => stream.onFrame((frame) => void frames.push(Buffer.from(frame).toString('latin1'))));
    try {
      await runner.start();
      await runner.stream?.send(Buffer.from('one\n'));
      await until('the answer', () => frames.includes('you said one'));
      await host('unplug');
      await until('down', () => runner.state === 'down');
      // By now the pauses between two tries are as long as they get.
      await pause(4000);
      expect(() => runner.stream).toThrow();
      const plugged = host('plug');
      await until('the kernel to have it', () => listPorts().some(({ serial: number }) => number === ADAPTER.serial));
      await until('the port', () => runner.state === 'open');
      await plugged;
      await runner.stream?.send(Buffer.from('two\n'));
      await until('the answer', () => frames.includes('you said two'));
      expect(frames).toEqual(['you said one', 'you said two']);
    } finally {
      await runner.stop();
    }
  });

  it('torn out in the midst of data it says so every time', async () => {
    for (let round = 0; round < 3; round++) {
      const made = await until('the adapter', () => open({ usb: ADAPTER }).catch(() => undefined));
      const talk = setInterval(
        () => made.port.stream?.send(Buffer.from('more\n'.repeat(20))).catch(() => undefined),
        5,
      );
      await until('data', () => made.frames.length > 10);
      await host('unplug');
      await until('down', () => made.downs.length > 0);
      clearInterval(talk);
      await made.port.close();
      await host('plug');
    }
  });
});
