import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LinkLine, rs485Settings, SerialLink } from '../../drivers/modbus/transport/serial-link.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { channelOf, Owner } from './owner.ts';
import { PtyPair } from './pty-pair.ts';

const cable = new PtyPair();
beforeAll(() => cable.plug());
afterAll(() => cable.remove());

describe('the direction of an RS-485 transceiver', () => {
  it("is refused, with what to write instead, when the kernel's driver cannot switch it", async () => {
    const owner = new Owner({ serial: cable.master, rs485: 'kernel' }, [channelOf({ holding: 1 })]);
    await expect(owner.open()).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      message: expect.stringContaining('ENOTTY'),
      expected: expect.stringContaining('rs485: rts'),
    });
    const plain = new Owner({ serial: cable.master }, [channelOf({ holding: 1 })]);
    await plain.open();
    await plain.close();
  });

  it('is set in the kernel: enabled, RTS high while sending', () => {
    expect(rs485Settings().toString('hex')).toBe(`03000000${'00'.repeat(28)}`);
  });

  it.each([false, true])(
    'low latency is requested at opening; the line works also when it is refused (%s)',
    async (refused) => {
      const asked: object[] = [];
      const warned: string[] = [];
      const line: LinkLine = {
        fd: null,
        poller: { once: () => undefined },
        close: async () => undefined,
        set: async (options) => {
          asked.push(options);
          if (refused) throw new Error('not this driver');
        },
        drain: async () => undefined,
        update: async () => undefined,
      };
      const first = { baud: 9600, dataBits: 8, parity: 'none', stopBits: 1 } as const;
      const warn = (message: string) => void warned.push(message);
      const settings = { path: '/dev/fake', line: () => first, first, rs485: 'off', warn } as const;
      const down: unknown[] = [];
      const link = new SerialLink(async () => line, line, settings, new ManualClock(), {
        data: () => undefined,
        down: (error) => void down.push(error),
      });
      await new Promise((resolve) => setImmediate(resolve));
      expect(asked).toEqual([{ lowLatency: true, dtr: true, rts: true }]);
      expect(warned.length).toBe(refused ? 1 : 0);
      expect(down).toEqual([]);
      await link.close();
    },
  );

  it('with rts: RTS is raised before the first byte is handed over and dropped once the last has left', async () => {
    const told: string[] = [];
    const line: LinkLine = {
      // Nothing is written to a descriptor that is not there; the order of what is told is what counts.
      fd: null,
      poller: { once: () => undefined },
      close: async () => undefined,
      set: async ({ rts }) => {
        told.push(rts ? 'raise' : 'drop');
      },
      drain: async () => {
        told.push('drain');
      },
      update: async () => undefined,
    };
    const first = { baud: 9600, dataBits: 8, parity: 'none', stopBits: 1 } as const;
    const settings = { path: 'fake', line: () => first, first, rs485: 'rts', warn: () => undefined } as const;
    const link = new SerialLink(async () => line, line, settings, new ManualClock(), {
      data: () => undefined,
      down: () => undefined,
    });
    link.send(Buffer.from([1, 2, 3]));
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toEqual(['drop', 'raise', 'drain', 'drop']);
    await link.close();
  });
});
