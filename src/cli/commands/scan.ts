import { InvalidArgumentError, Option } from 'commander';
import type { MuxChannel } from '../../../drivers/i2c/bus.ts';
import type { FoundUnit } from '../../../drivers/modbus/scan.ts';
import { systemClock } from '../../clock/clock.ts';
import type { LineSettings } from '../../driver/kit/schemas.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { jsonOption } from '../options.ts';
import { count, printJson, printLine, printNote } from '../output.ts';
import { addTargetOptions, parseTarget, type TargetOptions } from './modbus.ts';

interface ScanModbusOptions extends TargetOptions {
  readonly baud?: readonly number[];
  readonly units: readonly number[];
  readonly all?: boolean;
  readonly json?: boolean;
}

interface ScanI2cOptions {
  readonly mux?: MuxChannel;
  readonly json?: boolean;
}

/** Devices answer within tens of milliseconds; the driver's usual timeout would make a scan take hours. */
const REPLY_TIMEOUT = '200ms';

/** Adds `scan modbus` and `scan i2c`. */
export function addScan(cli: CliCommand): void {
  const scan = cli.command('scan').description('find the devices on a bus');
  addTargetOptions(scan.command('modbus'))
    .description('find the units of a Modbus bus and the settings of its line; only reads')
    .addOption(
      new Option('--baud <rates>', 'rates to try, like 9600,19200; default: the usual ones').argParser(baudRates),
    )
    .addOption(new Option('--units <addresses>', 'units to ask').default(units('1-247'), '1-247').argParser(units))
    .addOption(new Option('--all', 'try all line settings, also once units have answered'))
    .addOption(jsonOption())
    .examples(
      'dcs-io scan modbus --port serial:/dev/ttyUSB0',
      'dcs-io scan modbus --port tcp:192.168.1.10:502 --units 1-10',
    )
    .action(scanModbus);
  scan
    .command('i2c')
    .description('show the addresses that answer on an I2C bus with their likely chips; reads a byte of each')
    .argument('[bus...]', 'numbers or paths, like 1 or /dev/i2c-1 (default: every bus of this machine)', buses)
    .addOption(
      new Option('--mux <address/channel>', 'behind a TCA9548A: 0x70/3; the channel is closed afterwards').argParser(
        muxChannel,
      ),
    )
    .addOption(jsonOption())
    .examples('dcs-io scan i2c', 'dcs-io scan i2c 1 --mux 0x70/3')
    .action(scanI2c);
}

function baudRates(text: string): number[] {
  const found = text.split(',').map(Number);
  if (found.every((rate) => Number.isInteger(rate) && rate > 0)) return found;
  throw new InvalidArgumentError('rates like 9600,19200.');
}

/** Parses `1-247` or `1,5,10-20`. */
function units(text: string): number[] {
  const found = text.split(',').flatMap((part) => {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (!(from >= 0 && to >= from && to <= 255)) throw new InvalidArgumentError('addresses like 1-247 or 1,5,10-20.');
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
  return [...new Set(found)];
}

function buses(text: string, before: readonly string[] = []): string[] {
  if (!/^(\d+|\/.+)$/.test(text)) throw new InvalidArgumentError('a number like 1, or a path like /dev/i2c-1.');
  return [...before, /^\d+$/.test(text) ? `/dev/i2c-${text}` : text];
}

function muxChannel(text: string): MuxChannel {
  const [, address, channel] = /^(0x[0-9a-f]{2})\/([0-7])$/i.exec(text) ?? [];
  if (address === undefined) throw new InvalidArgumentError('address/channel, like 0x70/3.');
  return { address: Number(address), channel: Number(channel) };
}

/** Finds the units of a Modbus bus and, on a serial line, its settings. Ctrl-C ends it after the request under way. */
async function scanModbus(options: ScanModbusOptions): Promise<void> {
  const { scanUnits, commonLineSettings } = await import('../../../drivers/modbus/scan.ts');
  const target = await parseTarget({ timeout: REPLY_TIMEOUT, ...options }, 1);
  const serial = target.link.by === 'serial';
  if (!serial && (options.baud || options.line))
    throw new CliError(exitCodes.wrongUse, '--baud and --line are for serial lines');
  const lines = options.line === undefined ? commonLineSettings(options.baud) : [target.line];
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const bar = new ProgressBar(process.stderr);
  let stopped = false;
  const stop = () => {
    stopped = true;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const alive = setInterval(() => {}, 1 << 30);
  let [found, asked] = [0, 0];
  try {
    await scanUnits({ options: target, units: options.units, lines, all: options.all === true }, systemClock, quiet, {
      found: (unit) => {
        if (unit.doubt === undefined) found++;
        bar.clear();
        printUnit(unit, options);
      },
      progress: (done, total, unit, line, leftMs) => {
        if (asked++ === 0 && leftMs > 2000)
          printNote(`asking ${total} times, at most ${duration(leftMs)}; Ctrl-C ends it`);
        bar.draw(done, total, `unit ${unit}${line ? ` at ${lineText(line)}` : ''}, ${duration(leftMs)} left`);
      },
      stopped: () => stopped,
    });
  } finally {
    bar.clear();
    clearInterval(alive);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, stop);
  }
  if (!options.json) printNote(`${count(found, 'unit')} found${stopped ? '; the scan was stopped' : ''}`);
  if (stopped) process.exitCode = exitCodes.failed;
  else if (found === 0) process.exitCode = exitCodes.noAnswer;
}

function printUnit(found: FoundUnit, { json }: ScanModbusOptions): void {
  const { unit, line, identity, doubt } = found;
  if (json) {
    printJson({ ...found, line: line ? lineText(line) : null });
    return;
  }
  const parts = [
    `unit ${String(unit).padEnd(3)}`,
    line ? lineText(line) : '',
    identity.join(' '),
    doubt ? `(${doubt})` : '',
  ];
  printLine(parts.filter((part) => part !== '').join('  '));
}

function lineText({ baud, dataBits, parity, stopBits }: LineSettings): string {
  return `${baud}-${dataBits}${parity.charAt(0).toUpperCase()}${stopBits}`;
}

async function scanI2c(paths: readonly string[] | undefined, { mux, json }: ScanI2cOptions): Promise<void> {
  const { hex } = await import('../../../drivers/i2c/bus.ts');
  const { i2cBuses, scanChips } = await import('../../../drivers/i2c/driver.ts');
  const { openBus } = await import('../../../drivers/i2c/open-bus.ts');
  const { printChips } = await import('../i2c-scan.ts');
  const asked = paths && paths.length > 0 ? paths : i2cBuses();
  if (asked.length === 0) {
    const hint = 'on a Raspberry Pi: raspi-config, Interface Options, I2C; elsewhere: modprobe i2c-dev';
    throw new CliError(exitCodes.failed, 'this machine has no I2C bus', hint);
  }
  let found = 0;
  for (const path of asked) {
    const chips = await scanChips(path, (bus) => openBus(bus, 'auto'), mux);
    found += chips.length;
    if (json) for (const { address, ...rest } of chips) printJson({ bus: path, address: hex(address), ...rest });
    else printChips(path, chips);
  }
  if (!json) printNote(`${count(found, 'chip')} found; an address alone does not prove the type of a chip`);
  if (found === 0) process.exitCode = exitCodes.noAnswer;
}

/** Writes `40 s` or `7 min`. */
function duration(ms: number): string {
  return ms < 90_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.ceil(ms / 60_000)} min`;
}

const BAR_WIDTH = 24;

/** A progress bar on the last line of a terminal; writes nothing elsewhere. */
class ProgressBar {
  readonly #out: NodeJS.WriteStream;
  #shown = false;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  draw(done: number, total: number, text: string): void {
    if (!this.#out.isTTY) return;
    const full = Math.floor((BAR_WIDTH * done) / Math.max(1, total));
    const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)}`;
    const line = `${bar} ${done}/${total} ${text}`.slice(0, (this.#out.columns || 80) - 1);
    this.#out.write(`\r\u001b[K${line}`);
    this.#shown = true;
  }

  /** Clears the line, so that something else can be printed. */
  clear(): void {
    if (this.#shown) this.#out.write('\r\u001b[K');
    this.#shown = false;
  }
}
