import { type Command, Option } from 'commander';
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

/** Adds the options of `TargetOptions`. */
export function addTargetOptions(command: Command): Command {
  const schemes = 'tcp:HOST:PORT, udp:HOST:PORT, rtu:HOST:PORT or ascii:HOST:PORT (over TCP), serial:/dev/…';
  return command
    .addOption(new Option('--port <target>', schemes).makeOptionMandatory())
    .addOption(new Option('--line <settings>', 'settings of a serial line: 9600-8N1'))
    .addOption(new Option('--framing <frames>', 'framing on a serial line').choices(['rtu', 'ascii']))
    .addOption(new Option('--rs485 <mode>', 'direction control of the transceiver').choices(['off', 'kernel', 'rts']))
    .addOption(new Option('--timeout <duration>', 'reply timeout: 0.5 (seconds) or 500ms'));
}

/**
 * The port options that `--port` and its companions stand for: `tcp:HOST[:PORT]`, `udp:HOST`, `rtu:HOST:PORT` and
 * `ascii:HOST:PORT` (serial frames over TCP), `serial:/dev/x` or just `/dev/x`.
 */
export async function parseTarget(options: TargetOptions, unit: number): Promise<ModbusOptions> {
  const { port, line, framing, timeout, rs485 } = options;
  const [, scheme = 'serial', target = port] = TARGET.exec(port) ?? [];
  if (!TARGET.test(port) && !port.startsWith('/'))
    throw new CliError(exitCodes.wrongUse, `--port ${port} names no device`, 'tcp:HOST:PORT or serial:/dev/…');
  const { modbus } = await import('../../drivers/modbus/driver.ts');
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
