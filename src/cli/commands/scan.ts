import { commonLineSettings, type FoundUnit, scanUnits } from '../../../drivers/modbus/scan.ts';
import { systemClock } from '../../clock/clock.ts';
import type { LineSettings } from '../../driver/kit/schemas.ts';
import { CliError, exitCodes } from '../exit.ts';
import { parseTarget, type TargetOptions } from '../modbus-target.ts';
import { printJson, printLine, printNote } from '../output.ts';
import { duration, ProgressBar } from '../progress-bar.ts';

export interface ScanOptions extends TargetOptions {
  readonly baud?: readonly number[];
  readonly units: readonly number[];
  readonly all?: boolean;
  readonly json?: boolean;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
/** Devices answer within some tens of milliseconds; a scan that waited as a port does would take for ever. */
const REPLY_TIMEOUT = '200ms';

/** Finds the units of a Modbus bus and, on a serial line, the settings they speak. Ctrl-C ends it after the question under way. */
export async function scanModbus(options: ScanOptions): Promise<void> {
  const way = parseTarget({ timeout: REPLY_TIMEOUT, ...options }, 1);
  const serial = way.way.by === 'serial';
  if (!serial && (options.baud || options.line))
    throw new CliError(exitCodes.wrongUse, '--baud and --line are for serial lines');
  const lines = options.line === undefined ? commonLineSettings(options.baud) : [way.line];
  const bar = new ProgressBar(process.stderr);
  let stopped = false;
  const stop = () => {
    stopped = true;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const alive = setInterval(() => {}, 1 << 30);
  let [found, asked] = [0, 0];
  try {
    await scanUnits({ options: way, units: options.units, lines, all: options.all === true }, systemClock, quiet, {
      found: (unit) => {
        if (unit.doubt === undefined) found++;
        bar.clear();
        if (options.json) printJson({ ...unit, line: unit.line ? lineText(unit.line) : null });
        else printLine(unitText(unit));
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
  if (!options.json)
    printNote(`${found} unit${found === 1 ? '' : 's'} found${stopped ? '; the scan was stopped' : ''}`);
  if (stopped) process.exitCode = exitCodes.failed;
  else if (found === 0) process.exitCode = exitCodes.noAnswer;
}

function unitText({ unit, line, identity, doubt }: FoundUnit): string {
  const parts = [
    `unit ${String(unit).padEnd(3)}`,
    line ? lineText(line) : '',
    identity.join(' '),
    doubt ? `(${doubt})` : '',
  ];
  return parts.filter((part) => part !== '').join('  ');
}

function lineText({ baud, dataBits, parity, stopBits }: LineSettings): string {
  return `${baud}-${dataBits}${parity.charAt(0).toUpperCase()}${stopBits}`;
}
