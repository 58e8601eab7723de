import { Argument, Option } from 'commander';
import type { ModbusAddress } from '../../../drivers/modbus/address.ts';
import type { ModbusClient } from '../../../drivers/modbus/client.ts';
import type { ModbusOptions } from '../../../drivers/modbus/options.ts';
import { systemClock } from '../../clock/clock.ts';
import type { Channel } from '../../driver/contract.ts';
import { DcsError } from '../../errors/errors.ts';
import type { RawValue } from '../../pin/pin.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes, formatZodError } from '../exit.ts';
import { jsonOption, wholeNumber } from '../options.ts';
import { colour, printJson, printLine, printNote, showValue } from '../output.ts';

interface ValueOptions extends TargetOptions {
  readonly unit: number;
  readonly type?: string;
  readonly order?: string;
  readonly length?: number;
  readonly bit?: number;
  readonly base?: number;
  readonly json?: boolean;
}

/** Adds `modbus read`, `modbus write` and `modbus raw`. */
export function addModbus(cli: CliCommand): void {
  const address = wholeNumber(0, 465_536);
  const modbus = cli.command('modbus').description('read and write a Modbus device directly, without an agent');
  addValueOptions(modbus.command('read'))
    .description('read values at consecutive addresses')
    .addArgument(new Argument('<table>', 'table to read').choices(['coil', 'discrete', 'holding', 'input']))
    .argument('<address>', 'address of the first value, counted from 0', address)
    .argument('[count]', 'number of values', wholeNumber(1, 65_536), 1)
    .examples('dcs-io modbus read --port tcp:192.168.1.10:502 holding 0 10')
    .action(read);
  addValueOptions(modbus.command('write'))
    .description('write one value and read it back')
    .addArgument(new Argument('<table>', 'table to write').choices(['coil', 'holding']))
    .argument('<address>', 'address, counted from 0', address)
    .argument('<value>', 'on, off, a number or text')
    .examples('dcs-io modbus write --port serial:/dev/ttyUSB0 --line 9600-8N1 --unit 3 coil 0 on')
    .action(write);
  addTargetOptions(modbus.command('raw'))
    .description("send any function once, unchecked, and print the reply's data")
    .argument('<function>', 'function code: 1 to 127', wholeNumber(1, 127))
    .argument('[data]', 'data behind the code, as hexadecimal digits', '')
    .addOption(unitOption())
    .examples('dcs-io modbus raw --port tcp:192.168.1.10:502 17')
    .action(raw);
}

function unitOption(): Option {
  return new Option('--unit <address>', "the device's Modbus address").default(1).argParser(wholeNumber(0, 255));
}

function addValueOptions(command: CliCommand): CliCommand {
  const length = 'length of a string (characters) or raw value (registers)';
  return addTargetOptions(command)
    .addOption(unitOption())
    .addOption(new Option('--type <type>', 'int16, uint32, float32, string, …; default uint16'))
    .addOption(new Option('--order <order>', 'order of the bytes: ABCD, CDAB, BADC, DCBA'))
    .addOption(new Option('--length <n>', length).argParser(wholeNumber(1, 246)))
    .addOption(new Option('--bit <n>', 'one bit of a register, or of a longer number').argParser(wholeNumber(0, 63)))
    .addOption(new Option('--base <n>', 'number of the first address, 0 or 1').argParser(wholeNumber(0, 1)))
    .addOption(jsonOption());
}

/** Prints values at consecutive addresses. Fails when one of them cannot be decoded. */
async function read(table: string, address: number, count: number, options: ValueOptions): Promise<void> {
  const target = await parseTarget(options, options.unit);
  const channel = await parseChannel(table, address, options, target);
  const values = await withClient(target, (client) => client.read(channel, count, options.unit));
  for (const { at, value, reason } of values) {
    if (options.json)
      printJson({ unit: options.unit, table, address: at, value: value ?? null, ...(reason && { reason }) });
    else printLine(`${table} ${String(at).padEnd(6)} ${reason ? colour.red(reason) : showValue(value)}`);
  }
  if (values.some(({ reason }) => reason !== undefined)) process.exitCode = exitCodes.failed;
}

/** Writes one value and prints the value the device has then. Fails when the two differ. */
async function write(table: string, address: number, text: string, options: ValueOptions): Promise<void> {
  const target = await parseTarget(options, options.unit);
  const channel = await parseChannel(table, address, options, target);
  const { first } = channel.address;
  const wanted = parseValue(text, channel);
  if (channel.kind !== 'text' && typeof wanted === 'string' && !/^[-+]?\d+$/.test(wanted)) {
    const expected = channel.kind === 'digital' ? 'on or off' : 'a number';
    throw new CliError(exitCodes.wrongUse, `${text} is no value of this ${table}`, `it takes ${expected}`);
  }
  const work = async (client: ModbusClient) => {
    const has = await client.write(channel, wanted, options.unit);
    for (const note of client.learned) printNote(note);
    return has;
  };
  const found = await withClient(target, work).catch(explainTimeout);
  if (options.json) printJson({ unit: options.unit, table, address: first, written: wanted, value: found ?? null });
  else if (found === undefined) printLine(`${table} ${first}  written; it cannot be read back`);
  else printLine(`${table} ${first}  ${showValue(found)}`);
  if (found !== undefined && !(await isHeldAs(channel, wanted, found))) {
    throw new CliError(exitCodes.failed, `the device was given ${wanted}, but has ${found} now`);
  }
}

/** Returns whether a value is the one that was written, as nearly as its registers hold it: 7.3 of a float32 is 7.300000190734863. */
async function isHeldAs({ address }: Channel<ModbusAddress>, wanted: RawValue, found: RawValue): Promise<boolean> {
  if (found === wanted || Number(found) === Number(wanted)) return true;
  const { registerFormat } = await import('../../../drivers/modbus/address.ts');
  const { resolutionAt } = await import('../../../drivers/modbus/register-format.ts');
  const format = registerFormat(address);
  const resolution = (format && resolutionAt(format, wanted)) ?? 0;
  return Math.abs(Number(found) - Number(wanted)) <= resolution / 2;
}

/** Rethrows a TIMEOUT with the doubt it leaves. */
function explainTimeout(error: unknown): never {
  if (!(error instanceof DcsError) || error.code !== 'TIMEOUT') throw error;
  const unknown = 'whether it took effect is unknown';
  const message = error.message.includes(unknown) ? error.message : `${error.message}; ${unknown}`;
  throw new CliError(exitCodes.noAnswer, message);
}

/** Sends one request of any function, and prints what follows the function code in the reply. */
async function raw(fn: number, digits: string, options: TargetOptions & { readonly unit: number }): Promise<void> {
  const text = digits.replaceAll(/[\s:]/g, '');
  if (!/^([0-9a-f]{2}){0,252}$/i.test(text))
    throw new CliError(exitCodes.wrongUse, `${digits} is not data`, 'pairs of hexadecimal digits, at most 252');
  const request = { kind: 'raw', unit: options.unit, fn, data: Buffer.from(text, 'hex') } as const;
  const target = await parseTarget(options, options.unit);
  const reply = await withClient(target, (client) => client.transact(request));
  printLine(reply.toString('hex'));
}

async function parseChannel(
  table: string,
  address: number,
  { type, order, length, bit, base, unit }: ValueOptions,
  target: ModbusOptions,
): Promise<Channel<ModbusAddress>> {
  const { modbus } = await import('../../../drivers/modbus/driver.ts');
  const keys = { type, order, length, bit, base, unit };
  const given = Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
  const parsed = modbus.pin.safeParse({ ...given, [table]: address });
  if (!parsed.success) throw new CliError(exitCodes.wrongUse, formatZodError(parsed.error));
  const { key = '', kind } = modbus.describe(parsed.data, target);
  return { key, kind, direction: 'out', address: parsed.data, debounceMs: 0 };
}

/** A typed word as a value of the channel. Digits too long for a number stay text, which is exact. */
function parseValue(text: string, { kind }: Channel): RawValue {
  if (kind === 'text') return text;
  if (/^(on|true)$/i.test(text)) return true;
  if (/^(off|false)$/i.test(text)) return false;
  if (kind === 'digital' && (text === '1' || text === '0')) return text === '1';
  if (/^[-+]?\d+$/.test(text) && !Number.isSafeInteger(Number(text))) return text;
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}

async function withClient<T>(target: ModbusOptions, work: (client: ModbusClient) => Promise<T>): Promise<T> {
  const { ModbusClient } = await import('../../../drivers/modbus/client.ts');
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  // The driver's timers do not keep the process alive.
  const alive = setInterval(() => {}, 1 << 30);
  try {
    const client = await ModbusClient.open(target, systemClock, quiet);
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  } finally {
    clearInterval(alive);
  }
}

/** Options of every command that talks to a Modbus bus itself. */
export interface TargetOptions {
  readonly port: string;
  readonly line?: string;
  readonly framing?: string;
  readonly timeout?: string;
  readonly rs485?: string;
  readonly pause?: string;
}

const TARGET = /^(tcp|udp|rtu|ascii|serial):(.+)$/;

/** Adds the options of `TargetOptions`. */
export function addTargetOptions(command: CliCommand): CliCommand {
  const schemes = 'tcp:HOST:PORT, udp:HOST:PORT, rtu:HOST:PORT or ascii:HOST:PORT (over TCP), serial:/dev/…';
  return command
    .addOption(new Option('--port <target>', schemes).makeOptionMandatory())
    .addOption(new Option('--line <settings>', 'settings of a serial line: 9600-8N1'))
    .addOption(new Option('--framing <frames>', 'framing on a serial line').choices(['rtu', 'ascii']))
    .addOption(new Option('--rs485 <mode>', 'direction control of the transceiver').choices(['off', 'kernel', 'rts']))
    .addOption(new Option('--timeout <duration>', 'reply timeout: 0.5 (seconds) or 500ms'))
    .addOption(new Option('--pause <duration>', 'rest after connecting over TCP, before the first request: 1s'));
}

/**
 * The port options that `--port` and its companions stand for: `tcp:HOST[:PORT]`, `udp:HOST`, `rtu:HOST:PORT` and
 * `ascii:HOST:PORT` (serial frames over TCP), `serial:/dev/x` or just `/dev/x`.
 */
export async function parseTarget(options: TargetOptions, unit: number): Promise<ModbusOptions> {
  const { port, line, framing, timeout, rs485, pause } = options;
  const [, scheme = 'serial', target = port] = TARGET.exec(port) ?? [];
  if (!TARGET.test(port) && !port.startsWith('/'))
    throw new CliError(exitCodes.wrongUse, `--port ${port} names no device`, 'tcp:HOST:PORT or serial:/dev/…');
  const { modbus } = await import('../../../drivers/modbus/driver.ts');
  const overTcp = scheme === 'rtu' || scheme === 'ascii';
  const parsed = modbus.options.safeParse({
    ...(overTcp ? { tcp: target, framing: scheme } : { [scheme]: target }),
    unit,
    ...(line !== undefined && { line }),
    ...(framing !== undefined && { framing }),
    ...(timeout !== undefined && { timeout: /^\d+(\.\d+)?$/.test(timeout) ? `${timeout}s` : timeout }),
    ...(rs485 !== undefined && { rs485 }),
    ...(pause !== undefined && { connect: { pause } }),
  });
  if (parsed.success) return parsed.data;
  throw new CliError(exitCodes.wrongUse, formatZodError(parsed.error));
}
