import { type Command, InvalidArgumentError, Option } from 'commander';
import { rejectUnknownCommand } from './command-tree.ts';

const lineEnds = { crlf: '\r\n', lf: '\n', cr: '\r', none: '' } as const;

/** Adds `serial` to the command line. */
export function addSerialCommands(cli: Command): void {
  const json = new Option('--json', 'one JSON object a line');
  const serial = cli.command('serial').description('list serial ports and talk with what is on them');
  serial
    .command('list', { isDefault: true })
    .allowExcessArguments()
    .hook('preAction', rejectUnknownCommand)
    .description('list the serial ports of this machine with what USB says of them')
    .addOption(json)
    .action(async (options) => (await import('./commands/serial-list.ts')).list(options));
  serial
    .command('monitor')
    .description('show what a device sends and send it what you type; goes on when it is unplugged and plugged in')
    .argument('<port>', 'a path, tcp://host:port, rfc2217://host:port, or the name of a port of a running agent')
    .addOption(new Option('--line <settings>', 'of the port: 9600-8N1, 115200-8E1').default('9600-8N1'))
    .addOption(new Option('--flow <how>', 'flow control').choices(['none', 'rtscts', 'xonxoff']).default('none'))
    .addOption(new Option('--end <bytes>', 'sent after each line').choices(Object.keys(lineEnds)).default('crlf'))
    .addOption(new Option('--hex', 'show bytes as hexadecimal numbers, and type them so: 02 4f 4b 03'))
    .addOption(new Option('--time', 'with the time, and what was sent too'))
    .addOption(json)
    .addOption(new Option('--bus <host:rx:tx>', 'where the agent is (default: $DCS_IO_BUS, then 127.0.0.1:5012:5013)'))
    .addOption(new Option('--timeout <seconds>', 'how long to wait for the agent').default(5000, '5').argParser(ms))
    .action(async (port, { end, ...options }) =>
      (await import('./serial-monitor.ts')).monitor(port, { ...options, end: endOf(end) }),
    );
}

function endOf(name: string): string {
  const found = Object.entries(lineEnds).find(([known]) => known === name);
  return found ? found[1] : '';
}

function ms(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 3600)) throw new InvalidArgumentError('write seconds, like 5 or 0.5.');
  return seconds * 1000;
}
