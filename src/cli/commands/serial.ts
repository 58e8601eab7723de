import { Option } from 'commander';
import type { CliCommand } from '../command-tree.ts';
import { type ClientOptions, jsonOption } from '../options.ts';
import { printJson, printLine, printNote, table } from '../output.ts';

const lineEnds: Readonly<Record<string, string>> = { crlf: '\r\n', lf: '\n', cr: '\r', none: '' };

/** Adds `serial list` and `serial monitor`. */
export function addSerial(cli: CliCommand): void {
  const serial = cli.command('serial').description('list serial ports and talk with the devices on them');
  serial
    .command('list', { isDefault: true })
    .default()
    .description('list the serial ports of this machine with their USB descriptions')
    .addOption(jsonOption())
    .examples('dcs-io serial list')
    .action(list);
  serial
    .command('monitor')
    .description('print what a device sends and send it what you type; reconnects after an unplug')
    .argument('<port>', 'a path, tcp://host:port, rfc2217://host:port, or the name of a port of a running agent')
    .addOption(new Option('--line <settings>', 'of the port: 9600-8N1, 115200-8E1').default('9600-8N1'))
    .addOption(new Option('--flow <how>', 'flow control').choices(['none', 'rtscts', 'xonxoff']).default('none'))
    .addOption(new Option('--end <bytes>', 'sent after each line').choices(Object.keys(lineEnds)).default('crlf'))
    .addOption(new Option('--hex', 'print bytes as hexadecimal numbers, and type them so: 02 4f 4b 03'))
    .addOption(new Option('--time', 'print the time too, and the lines that were sent'))
    .clientOptions()
    .examples('dcs-io serial monitor /dev/ttyUSB0 --line 9600-8N1', 'dcs-io serial monitor scale --hex')
    .action(monitor);
}

async function list({ json }: { readonly json?: boolean }): Promise<void> {
  const { lastingPaths, listPorts } = await import('../../driver/kit/serial-ports.ts');
  const lasting = lastingPaths();
  const ports = listPorts().map((port) => ({ ...port, by_id: lasting.get(port.path) }));
  if (json) {
    for (const port of ports) printJson(port);
    return;
  }
  if (ports.length === 0) {
    printNote('this machine has no serial port');
    return;
  }
  const rows = ports.map(({ path, vid, pid, serial = '', maker = '', product = '', by_id = '' }) => [
    path,
    vid === undefined ? '' : `${vid}:${pid}`,
    serial,
    `${maker} ${product}`.trim(),
    by_id,
  ]);
  printLine(table(['PORT', 'USB', 'SERIAL', 'WHAT', 'LASTING NAME'], rows));
}

interface MonitorOptions extends ClientOptions {
  readonly line: string;
  readonly flow: string;
  /** Key of `lineEnds`. */
  readonly end: string;
  readonly hex?: boolean;
  readonly time?: boolean;
}

async function monitor(port: string, { end, ...options }: MonitorOptions): Promise<void> {
  const { runMonitor } = await import('../serial-monitor.ts');
  await runMonitor(port, { ...options, end: lineEnds[end] ?? '' });
}
