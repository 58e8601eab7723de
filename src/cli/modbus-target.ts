import { modbus } from '../../drivers/modbus/driver.ts';
import type { ModbusOptions } from '../../drivers/modbus/options.ts';
import { CliError, exitCodes, formatZodError } from './exit.ts';

/** Options of every command that talks to a Modbus bus itself. */
export interface TargetOptions {
  readonly port: string;
  readonly line?: string;
  readonly framing?: string;
  readonly timeout?: string;
  readonly rs485?: string;
}

const TARGET = /^(tcp|udp|rtu|ascii|serial):(.+)$/;

/**
 * The port's options that `--port` and its companions stand for: `tcp:HOST[:PORT]`, `udp:HOST`, `rtu:HOST:PORT` and
 * `ascii:HOST:PORT` (serial frames over TCP), `serial:/dev/x` or just `/dev/x`.
 */
export function parseTarget(options: TargetOptions, unit: number): ModbusOptions {
  const { port, line, framing, timeout, rs485 } = options;
  const [, scheme = 'serial', target = port] = TARGET.exec(port) ?? [];
  if (!TARGET.test(port) && !port.startsWith('/'))
    throw new CliError(exitCodes.wrongUse, `--port ${port} is no way to a device`, 'tcp:HOST:PORT or serial:/dev/…');
  const overTcp = scheme === 'rtu' || scheme === 'ascii';
  const parsed = modbus.options.safeParse({
    ...(overTcp ? { tcp: target, framing: scheme } : { [scheme]: target }),
    unit,
    ...(line !== undefined && { line }),
    ...(framing !== undefined && { framing }),
    ...(timeout !== undefined && { timeout: /^\d+(\.\d+)?$/.test(timeout) ? `${timeout}s` : timeout }),
    ...(rs485 !== undefined && { rs485 }),
  });
  if (parsed.success) return parsed.data;
  throw new CliError(exitCodes.wrongUse, formatZodError(parsed.error));
}
