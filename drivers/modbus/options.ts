import { z } from 'zod';
import { durationSchema } from '../../src/driver/parse.ts';
import { unitSchema } from './address.ts';

/** `192.168.1.10`, `plc.local:1502`, `[fe80::1]:502`. */
const TARGET = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/;
export const MODBUS_PORT = 502;

const targetSchema = z
  .string()
  .regex(TARGET, { error: 'host or host:port, like 192.168.1.10:502' })
  .transform((text, context) => {
    const found = TARGET.exec(text);
    const port = found?.[3] === undefined ? MODBUS_PORT : Number(found[3]);
    if (port < 1 || port > 0xffff) context.addIssue({ code: 'custom', message: 'a TCP port is 1 to 65535' });
    return { host: found?.[1] ?? found?.[2] ?? '', port };
  });

export const optionsSchema = z.strictObject({
  tcp: targetSchema.describe('the device or gateway: host or host:port (502)'),
  unit: unitSchema.prefault(1).describe('Modbus address of pins that name none'),
  timeout: durationSchema.prefault('800ms').describe('how long the device may take to answer'),
  poll: durationSchema.prefault('1s').describe('how often pins that do not say so themselves are read'),
  max_gap: z
    .int()
    .min(0)
    .max(124)
    .optional()
    .describe('registers nobody asked for that may be read along to save a request; default: what saves time'),
  in_flight: z
    .int()
    .min(1)
    .max(16)
    .prefault(1)
    .describe('requests under way at once; more than 1 only if the device is no gateway and takes it'),
});

export type ModbusOptions = z.output<typeof optionsSchema>;
