import { z } from 'zod';
import type { Clock } from '../../src/clock/clock.ts';
import type { Driver } from '../../src/driver/contract.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import { MockDevice } from './device.ts';
import { MockPort } from './port.ts';

const channelName = z.union([z.string().min(1), z.number().int().nonnegative()]).transform(String);

const faultSchema = z
  .strictObject({
    channel: channelName.optional().describe('the channel with the fault; default: all'),
    kind: z
      .enum(['error', 'timeout', 'disconnect', 'bounce'])
      .describe('bounce: a digital channel changes its level and bounces'),
    after: durationSchema.describe('when it begins, counted from the first opening'),
    for: durationSchema.optional().describe('how long it lasts; default: for ever (a bounce: 20ms)'),
  })
  .refine(({ kind, channel }) => kind !== 'disconnect' || channel === undefined, {
    error: 'a disconnect concerns all channels',
    path: ['channel'],
  });

const optionsSchema = z.strictObject({
  loopback: z
    .array(z.tuple([channelName, channelName]))
    .default([])
    .describe('wires: [[from, to], …]; what is written to one channel is read on the other'),
  latency: durationSchema.prefault('0ms').describe('how long each read and write takes'),
  timeout: durationSchema.prefault('1s').describe('time until a read or write of a channel with a timeout fault fails'),
  record: z
    .string()
    .min(1)
    .optional()
    .describe('a file that records every write as a JSON line; levels then outlive the process'),
  faults: z.array(faultSchema).default([]).describe('faults and their times'),
});
type MockOptions = z.infer<typeof optionsSchema>;

const pinSchema = z.strictObject({
  channel: channelName.describe('any name or number, different for each pin of the port'),
  type: z.enum(['digital', 'analog', 'counter', 'text']).default('digital').describe('type of its value'),
});
type MockAddress = z.infer<typeof pinSchema>;

/**
 * Creates the driver of simulated hardware. With a `device` every port is on that device, so that a test can set and read
 * it; without one each entry of `ports:` has a device of its own.
 *
 * The driver can replace any other: it opens channels of every kind by their key alone.
 */
export function createMock(device?: MockDevice): Driver<MockOptions, MockAddress> {
  const devices = new WeakMap<object, MockDevice>();
  const deviceOf = (options: MockOptions, clock: Clock): MockDevice => {
    const known = devices.get(options);
    if (known) return known;
    const created = device ?? new MockDevice(options.record);
    devices.set(options, created);
    for (const [from, to] of options.loopback) created.wire(from, to);
    scheduleFaults(created, options, clock);
    return created;
  };
  return {
    contract: 1,
    name: 'mock',
    summary: 'simulated hardware: loopback wires, injected values, recorded writes, scripted faults',
    options: optionsSchema,
    pin: pinSchema,
    hardware: 'simulated',
    describe: ({ channel, type }) => ({ key: channel, kind: type, directions: ['in', 'out'] }),
    async open(options, channels, context) {
      const opened = deviceOf(options, context.clock);
      if (opened.unplugError) throw opened.unplugError;
      return { kind: 'port', port: new MockPort(opened, channels, options, context) };
    },
  };
}

/** Options of a mock port that replaces a port of another driver. */
export function mockOptions(): MockOptions {
  return optionsSchema.parse({});
}

/** Default time for which a contact bounces, and duration of each of its levels (ms). */
const BOUNCE_MS = 20;
const BOUNCE_LEVEL_MS = 2;

function bounce(hardware: MockDevice, channel: string, length: number, clock: Clock): void {
  const changes = 2 * Math.floor(length / BOUNCE_LEVEL_MS / 2) + 1;
  hardware.bounce(channel, hardware.get(channel) !== true, changes, BOUNCE_LEVEL_MS, clock);
}

function scheduleFaults(hardware: MockDevice, options: MockOptions, clock: Clock): void {
  for (const { kind, channel = '*', after, for: length } of options.faults) {
    if (kind === 'bounce') {
      clock.after(after, () => bounce(hardware, channel, length ?? BOUNCE_MS, clock));
      continue;
    }
    const begin = () => {
      if (kind === 'disconnect') hardware.unplug('unplugged, as the fault script says');
      else if (kind === 'timeout') hardware.fault(channel, { kind });
      else hardware.fault(channel, { kind, message: 'fails, as the fault script says' });
    };
    const end = () => (kind === 'disconnect' ? hardware.plug() : hardware.fault(channel, undefined));
    clock.after(after, begin);
    if (length !== undefined) clock.after(after + length, end);
  }
}
