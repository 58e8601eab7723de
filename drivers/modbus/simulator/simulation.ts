import { z } from 'zod';
import type { Clock } from '../../../src/clock/clock.ts';
import { durationSchema, lineSchema } from '../../../src/driver/kit/schemas.ts';
import type { PinKind, RawValue } from '../../../src/pin/pin.ts';
import { addressKeys, addressSchema, registerFormat } from '../address.ts';
import type { RegisterFormat } from '../formats/format.ts';
import { targetSchema } from '../options.ts';
import type { ReceivedRequest } from '../server/line-server.ts';
import type { Fault, FaultScript } from './faults.ts';
import { type Motion, SimulatedMemory } from './memory.ts';

const value = z.union([z.boolean(), z.number(), z.string()]);
const period = durationSchema.refine((length) => length > 0, { error: 'above 0' });
const registerSchema = z
  .looseObject({
    value: value.optional().describe('what it holds at first; default 0'),
    sine: z.strictObject({ mean: z.number(), swing: z.number(), period }).optional(),
    ramp: z.strictObject({ from: z.number(), to: z.number(), period }).optional(),
    counter: z.strictObject({ period }).optional().describe('counts up once a period'),
    follow: z.strictObject({ holding: z.int().min(0).max(0xffff), period }).optional(),
  })
  .refine(
    (keys) =>
      [keys.value, keys.sine, keys.ramp, keys.counter, keys.follow].filter((one) => one !== undefined).length <= 1,
    {
      error: 'only one of value, sine, ramp, counter, follow',
    },
  );

const faultSchema = z
  .strictObject({
    kind: z.enum([
      'silent',
      'ignore',
      'late',
      'wrong-checksum',
      'truncated',
      'noise',
      'exception',
      'wrong-unit',
      'other-reply',
      'break',
      'echo',
      'unplug',
    ]),
    every: z.int().min(1).optional().describe('every so many requests'),
    share: z.number().min(0).max(1).optional().describe('of all requests, at random'),
    unit: z.int().min(1).max(255).optional().describe('only requests to this unit'),
    function: z.int().min(1).max(127).optional().describe('only requests with this function code'),
    late: durationSchema.optional().describe('kind late: by how much; default 1s'),
    away: durationSchema.optional().describe('kind unplug: for how long; default 1s'),
    code: z.int().min(1).max(255).optional().describe('kind exception: its code; default 4'),
  })
  .superRefine((keys, context) => {
    for (const [key, kind] of [
      ['late', 'late'],
      ['away', 'unplug'],
      ['code', 'exception'],
    ] as const) {
      const message = `${key} goes with kind: ${kind}`;
      if (keys[key] !== undefined && keys.kind !== kind) context.addIssue({ code: 'custom', message, path: [key] });
    }
  })
  .refine(({ every, share }) => (every === undefined) !== (share === undefined), {
    error: 'exactly one of every, share',
  });

/** A file of `dcs-io simulate`. */
export const simulationSchema = z
  .strictObject({
    tcp: targetSchema.optional().describe('address and port to listen on: 127.0.0.1:1502'),
    pty: z.string().startsWith('/').optional().describe('a serial line to make, by the name it shall have'),
    framing: z.enum(['rtu', 'ascii']).prefault('rtu').describe('frames on the pty'),
    line: lineSchema.prefault('9600-8N1').describe('the pty keeps the time of this line'),
    delay: durationSchema.prefault('2ms').describe('how long the devices think'),
    units: z.record(z.string().regex(/^\d{1,3}$/), z.array(registerSchema)),
    faults: z.array(faultSchema).prefault([]),
  })
  .refine(({ tcp, pty }) => tcp !== undefined || pty !== undefined, { error: 'tcp or pty, or both' });
export type Simulation = z.output<typeof simulationSchema>;

/** Creates the simulated devices. Throws a ZodError when the keys of a register are not those of a pin. */
export function createMemory({ units }: Simulation, clock: Clock): SimulatedMemory {
  const memory = new SimulatedMemory(clock, { everywhere: false });
  for (const [unit, registers] of Object.entries(units)) {
    for (const keys of registers) createRegister(memory, Number(unit), keys);
  }
  return memory;
}

function createRegister(memory: SimulatedMemory, unit: number, keys: z.output<typeof registerSchema>): void {
  const known = Object.keys(addressKeys.shape);
  const own = Object.entries(keys).filter(([key]) => known.includes(key) || !MOTIONS.includes(key));
  const address = addressSchema.parse(Object.fromEntries(own));
  const { table, first } = address;
  const format = registerFormat(address);
  if (!format) {
    memory.put(unit, table, first, keys.value === true || keys.value === 1 ? 1 : 0);
    return;
  }
  const motion = motionOf(keys, (at) => memory.get(unit, 'holding', at)[0] ?? 0);
  const place = { unit, table, first, registerBytes: address.registerBytes };
  if (motion) memory.move(place, format, motion);
  else memory.putValue(place, format, keys.value ?? defaultValue(format));
}

const DEFAULT_VALUES: Readonly<Record<PinKind, RawValue>> = { analog: 0, counter: 0, digital: false, text: '' };
const MOTIONS = ['value', 'sine', 'ramp', 'counter', 'follow'];

/** The value of a register that has none: 0, or what 0 in all registers means. */
function defaultValue(format: RegisterFormat): RawValue {
  const reading = format.decode(Buffer.alloc(2 * format.registers), 0);
  return format.kind === 'text' && reading.ok ? reading.value : DEFAULT_VALUES[format.kind];
}

function motionOf(keys: z.output<typeof registerSchema>, holding: (at: number) => number): Motion | undefined {
  const { sine, ramp, counter, follow } = keys;
  if (sine) return { kind: 'sine', mean: sine.mean, swing: sine.swing, periodMs: sine.period };
  if (ramp) return { kind: 'ramp', from: ramp.from, to: ramp.to, periodMs: ramp.period };
  if (counter) return { kind: 'counter', periodMs: counter.period };
  return follow && { kind: 'follow', target: () => holding(follow.holding), periodMs: follow.period };
}

/** Decides which request gets which fault. */
export function createFaultScript({ faults }: Simulation, random: () => number = Math.random): FaultScript {
  const counts = faults.map(() => 0);
  return (request) => {
    for (const [index, fault] of faults.entries()) {
      if (!concerns(fault, request)) continue;
      counts[index] = (counts[index] ?? 0) + 1;
      const hit = fault.every === undefined ? random() < (fault.share ?? 0) : (counts[index] ?? 0) % fault.every === 0;
      if (hit) return createFault(fault, request);
    }
    return undefined;
  };
}

function concerns({ unit, function: fn }: z.output<typeof faultSchema>, request: ReceivedRequest): boolean {
  return (unit ?? request.unit) === request.unit && (fn ?? request.pdu[0]) === request.pdu[0];
}

function createFault(
  { kind, late = 1000, code = 4, away = 1000 }: z.output<typeof faultSchema>,
  { unit, pdu }: ReceivedRequest,
): Fault {
  switch (kind) {
    case 'late':
      return { kind, ms: late };
    case 'exception':
      return { kind, code };
    case 'truncated':
    case 'break':
      return { kind, bytes: 3 };
    case 'unplug':
      return { kind, ms: away };
    case 'noise':
      return { kind, before: Buffer.from([0x00, 0xff]), after: Buffer.from([0x55]) };
    case 'wrong-unit':
      return { kind, unit: (unit % 247) + 1 };
    case 'other-reply':
      // Confirms the address next to the requested one.
      return { kind, pdu: Buffer.from(pdu.map((byte, at) => (at === 2 ? byte ^ 1 : byte))) };
    default:
      return { kind };
  }
}
