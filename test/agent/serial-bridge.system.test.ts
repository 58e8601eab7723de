import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Device } from '../serial/device.ts';
import { AgentProcess } from '../support/agent-process.ts';
import { Observer } from '../support/observer.ts';
import { until } from '../support/wait.ts';

describe('the agent puts a serial device on the bus', () => {
  const device = new Device();
  let agent: AgentProcess;
  let observer: Observer;

  beforeAll(async () => {
    await device.plug();
    agent = await AgentProcess.start(`
ports:
  scale: { driver: serial, path: '${device.path}', framing: { delimiter: "\\r\\n" } }
pins:
  weight: { port: scale, match: 'ST,GS,\\s*([-+0-9.]+)kg', uom: kg }
`);
    observer = await new Observer(agent.bus).start();
    // The first frame counts only after a silence: it may have lost its beginning.
    await pause(200);
  });
  afterAll(async () => {
    await observer?.stop();
    await agent?.stop();
    await device.remove();
  });

  it('a line in is a report of its pin and a SerialPortMessage', async () => {
    device.say('ST,GS, +012.5kg\r\n');
    expect(await observer.report('weight', ({ val }) => val === 12.5)).toMatchObject({ quality: 'good' });
    await until('the line', () =>
      observer.seen.some(({ subject, data }) => subject === 'SerialPortMessage' && data === 'ST,GS, +012.5kg'),
    );
  });

  it('bytes that are no text arrive as base64', async () => {
    device.say(Buffer.from([0xff, 0x00, 0x80, 0x0d, 0x0a]));
    const found = await until('the frame', () =>
      observer.seen.find(({ subject, encoding }) => subject === 'SerialPortMessage' && encoding === 'base64'),
    );
    expect(Buffer.from(String(found['data']), 'base64')).toEqual(Buffer.from([0xff, 0x00, 0x80]));
    expect(found).toMatchObject({ port: 'scale', source_time: expect.any(Number) });
  });

  it('a SerialPortMessage goes out byte for byte, and is answered once', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    device.forget();
    const sent = await observer.actor.request({
      SerialPortMessage: { port: 'scale', data: bytes.toString('base64'), encoding: 'base64' },
    });
    expect(sent.payload).toMatchObject({ SerialPortMessage: { port: 'scale', sent: 256 } });
    await until('the bytes', () => device.received.length >= 256);
    expect(device.received).toEqual(bytes);
    device.forget();
    await observer.actor.request({ SerialPortMessage: { port: 'scale', data: 'Grüße\r\n' } });
    await until('the text', () => device.received.length >= 9);
    expect(device.received.toString('utf8')).toBe('Grüße\r\n');
  });

  it('a message of the port itself is never sent back to the device', async () => {
    device.forget();
    observer.actor.send({ SerialPortMessage: { port: 'scale', data: 'echo', source_time: 1 } });
    await observer.actor.request({ SerialPortMessage: { port: 'scale', data: 'x' } });
    await until('the byte', () => device.received.length > 0);
    expect(device.received.toString()).toBe('x');
  });

  it.each([
    [{ data: '%%%', encoding: 'base64' }, 'BAD_VALUE'],
    [{ data: 5 }, 'BAD_COMMAND'],
    [{ data: 'x', encoding: 'utf16' }, 'BAD_COMMAND'],
  ])('%j is refused and nothing goes out', async (message, code) => {
    device.forget();
    const refused = observer.actor.request({ SerialPortMessage: { port: 'scale', ...message } });
    await expect(refused).rejects.toMatchObject({ code });
    expect(device.received).toHaveLength(0);
  });

  it('unplugging turns the pin bad at once, a write is refused, and replugging heals', async () => {
    observer.seen.splice(0);
    await device.unplug();
    await observer.report('weight', ({ quality }) => quality === 'bad', 1000);
    const refused = observer.actor.request({ SerialPortMessage: { port: 'scale', data: 'late' } });
    await expect(refused).rejects.toMatchObject({ code: 'PORT_DOWN' });
    device.forget();
    await device.plug();
    const timer = setInterval(() => device.say('ST,GS, 7.25kg\r\n'), 50);
    await observer.report('weight', ({ quality, val }) => quality === 'good' && val === 7.25);
    clearInterval(timer);
    expect(device.received.toString()).toBe('');
  });
});
