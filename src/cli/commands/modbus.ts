import type { ModbusAddress } from '../../../drivers/modbus/address.ts';
import { ModbusClient } from '../../../drivers/modbus/client.ts';
import { modbus } from '../../../drivers/modbus/driver.ts';
import type { ModbusOptions } from '../../../drivers/modbus/options.ts';
import { systemClock } from '../../clock/clock.ts';
import type { Channel } from '../../driver/contract.ts';
import { DcsError } from '../../errors/errors.ts';
import type { RawValue } from '../../pin/pin.ts';
import { CliError, exitCodes, formatZodError } from '../exit.ts';
import { parseTarget, type TargetOptions } from '../modbus-target.ts';
import { colour, printJson, printLine, showValue } from '../output.ts';

export interface ModbusReadOptions extends TargetOptions {
  readonly unit: number;
  readonly type?: string;
  readonly order?: string;
  readonly length?: number;
  readonly bit?: number;
  readonly base?: number;
  readonly json?: boolean;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** Reads values that lie one after the other. Fails when one of them is none. */
export async function read(table: string, address: number, count: number, options: ModbusReadOptions): Promise<void> {
  const way = parseTarget(options, options.unit);
  const channel = channelOf(table, address, options, way);
  const values = await withClient(way, (client) => client.read(channel, count, options.unit));
  for (const { at, value, reason } of values) {
    if (options.json)
      printJson({ unit: options.unit, table, address: at, value: value ?? null, ...(reason && { reason }) });
    else printLine(`${table} ${String(at).padEnd(6)} ${reason ? colour.red(reason) : showValue(value)}`);
  }
  if (values.some(({ reason }) => reason !== undefined)) process.exitCode = exitCodes.failed;
}

/** Writes one value, and says what the device then has. Fails when that is something else. */
export async function write(table: string, address: number, text: string, options: ModbusReadOptions): Promise<void> {
  const way = parseTarget(options, options.unit);
  const channel = channelOf(table, address, options, way);
  const wanted = parsedValue(text, channel);
  if (channel.kind !== 'text' && typeof wanted === 'string' && !/^[-+]?\d+$/.test(wanted)) {
    const expected = channel.kind === 'digital' ? 'on or off' : 'a number';
    throw new CliError(exitCodes.wrongUse, `${text} is no value of this ${table}`, `it takes ${expected}`);
  }
  const found = await withClient(way, (client) => client.write(channel, wanted, options.unit)).catch(
    (error: unknown) => {
      if (!(error instanceof DcsError) || error.code !== 'TIMEOUT') throw error;
      const unknown = 'whether it took effect is unknown';
      const said = error.message.includes(unknown);
      throw new CliError(exitCodes.noAnswer, said ? error.message : `${error.message}; ${unknown}`);
    },
  );
  if (options.json)
    printJson({ unit: options.unit, table, address: channel.address.first, written: wanted, value: found ?? null });
  else if (found === undefined) printLine(`${table} ${channel.address.first}  written; it cannot be read back`);
  else printLine(`${table} ${channel.address.first}  ${showValue(found)}`);
  if (found !== undefined && found !== wanted && Number(found) !== Number(wanted)) {
    throw new CliError(exitCodes.failed, `the device took ${wanted}, but has ${found} now`);
  }
}

/** Sends one request of any function, and prints what follows the function code in the reply. */
export async function raw(
  fn: number,
  digits: string,
  options: TargetOptions & { readonly unit: number },
): Promise<void> {
  const text = digits.replaceAll(/[\s:]/g, '');
  if (!/^([0-9a-f]{2}){0,252}$/i.test(text))
    throw new CliError(exitCodes.wrongUse, `${digits} is not data`, 'pairs of hexadecimal digits, at most 252');
  const request = { kind: 'raw', unit: options.unit, fn, data: Buffer.from(text, 'hex') } as const;
  const reply = await withClient(parseTarget(options, options.unit), (client) => client.ask(request));
  printLine(reply.toString('hex'));
}

function channelOf(
  table: string,
  address: number,
  { type, order, length, bit, base, unit }: ModbusReadOptions,
  way: ModbusOptions,
): Channel<ModbusAddress> {
  const keys = { type, order, length, bit, base, unit };
  const given = Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
  const parsed = modbus.pin.safeParse({ ...given, [table]: address });
  if (!parsed.success) throw new CliError(exitCodes.wrongUse, formatZodError(parsed.error));
  const { key = '', kind } = modbus.describe(parsed.data, way);
  return { key, kind, direction: 'out', address: parsed.data, debounceMs: 0 };
}

/** What a person typed as what the register holds. Digits too long for a number stay text: they are exact. */
function parsedValue(text: string, { kind }: Channel): RawValue {
  if (kind === 'text') return text;
  if (/^(on|true)$/i.test(text)) return true;
  if (/^(off|false)$/i.test(text)) return false;
  if (kind === 'digital' && (text === '1' || text === '0')) return text === '1';
  if (/^[-+]?\d+$/.test(text) && !Number.isSafeInteger(Number(text))) return text;
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}

async function withClient<T>(way: ModbusOptions, work: (client: ModbusClient) => Promise<T>): Promise<T> {
  // The driver's timers do not keep a process alive.
  const alive = setInterval(() => {}, 1 << 30);
  try {
    const client = await ModbusClient.open(way, systemClock, quiet);
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  } finally {
    clearInterval(alive);
  }
}
