import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { rejectUnknownCommand } from './command-tree.ts';

/** Adds `modbus`, `simulate`, `scan modbus` and `profiles` to the command line. */
export function addModbusCommands(cli: Command, scan: Command): void {
  const json = new Option('--json', 'one JSON object a line');
  const way = (command: Command) =>
    command
      .addOption(
        new Option(
          '--port <way>',
          'tcp:HOST:PORT, udp:HOST:PORT, rtu:HOST:PORT or ascii:HOST:PORT (over TCP), serial:/dev/…',
        ).makeOptionMandatory(),
      )
      .addOption(new Option('--line <settings>', 'of a serial line: 9600-8N1'))
      .addOption(new Option('--framing <frames>', 'of a serial line').choices(['rtu', 'ascii']))
      .addOption(new Option('--rs485 <who>', 'who turns the transceiver round').choices(['off', 'kernel', 'rts']))
      .addOption(new Option('--timeout <duration>', 'how long a device may take: 0.5 (seconds) or 500ms'));
  const value = (command: Command) =>
    way(command)
      .addOption(new Option('--unit <address>', "the device's Modbus address").default(1).argParser(whole(0, 255)))
      .addOption(new Option('--type <type>', 'int16, uint32, float32, string, …; default uint16'))
      .addOption(new Option('--order <order>', 'of the bytes: ABCD, CDAB, BADC, DCBA'))
      .addOption(
        new Option('--length <n>', 'of a string (characters) or raw value (registers)').argParser(whole(1, 246)),
      )
      .addOption(new Option('--bit <n>', 'one bit of a register').argParser(whole(0, 15)))
      .addOption(new Option('--base <n>', 'what the first address is called').argParser(whole(0, 1)))
      .addOption(json);

  const modbus = cli.command('modbus').description('read and write a Modbus device directly, without an agent');
  value(modbus.command('read'))
    .description('read values that lie one after the other')
    .addArgument(new Argument('<table>', 'what is read').choices(['coil', 'discrete', 'holding', 'input']))
    .argument('<address>', 'of the first, counted from 0', whole(0, 465_536))
    .argument('[count]', 'how many', whole(1, 65_536), 1)
    .action(async (table, address, count, options) =>
      (await import('./commands/modbus.ts')).read(table, address, count, options),
    );
  value(modbus.command('write'))
    .description('write one value and read it back')
    .addArgument(new Argument('<table>', 'what is written').choices(['coil', 'holding']))
    .argument('<address>', 'counted from 0', whole(0, 465_536))
    .argument('<value>', 'on, off, a number or text')
    .action(async (table, address, text, options) =>
      (await import('./commands/modbus.ts')).write(table, address, text, options),
    );

  way(modbus.command('raw'))
    .description("send any function as it stands and print the reply's data; nothing is checked or asked twice")
    .argument('<function>', 'its code: 1 to 127', whole(1, 127))
    .argument('[data]', 'what follows the code, as hexadecimal digits')
    .addOption(new Option('--unit <address>', "the device's Modbus address").default(1).argParser(whole(0, 255)))
    .action(async (fn, data, options) => (await import('./commands/modbus.ts')).raw(fn, data ?? '', options));

  cli
    .command('simulate')
    .description('play the Modbus devices of a file, on a TCP port and on a pty, with faults')
    .argument('<file>', 'the devices to play')
    .action(async (file) => (await import('./commands/simulate.ts')).simulate(file));

  way(scan.command('modbus'))
    .description('find the units of a Modbus bus and the settings of its line; it only reads')
    .addOption(
      new Option('--baud <rates>', 'rates to try, like 9600,19200; default: the usual ones').argParser(numbers),
    )
    .addOption(new Option('--units <addresses>', 'which to ask').default(units('1-247'), '1-247').argParser(units))
    .addOption(new Option('--all', 'all line settings, also once units have answered'))
    .addOption(json)
    .action(async (options) => (await import('./commands/scan.ts')).scanModbus(options));

  const profiles = cli.command('profiles').description('list and show the device profiles');
  const folder = new Option('--folder <path>', "your own profiles, as the configuration's key profiles names them");
  profiles
    .command('list', { isDefault: true })
    .allowExcessArguments()
    .hook('preAction', rejectUnknownCommand)
    .description('list the profiles of this version, and your own')
    .addOption(folder)
    .addOption(json)
    .action(async (options) => (await import('./commands/profiles.ts')).list(options));
  profiles
    .command('show')
    .description('the pins a profile gives, with their addresses')
    .argument('<profile>')
    .addOption(folder)
    .addOption(json)
    .action(async (name, options) => (await import('./commands/profiles.ts')).show(name, options));
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const found = Number(text);
    if (text.trim() !== '' && Number.isInteger(found) && found >= least && found <= most) return found;
    throw new InvalidArgumentError(`a whole number from ${least} to ${most}.`);
  };
}

function numbers(text: string): number[] {
  const found = text.split(',').map(Number);
  if (found.every((rate) => Number.isInteger(rate) && rate > 0)) return found;
  throw new InvalidArgumentError('rates like 9600,19200.');
}

/** `1-247`, `1,5,10-20`. */
function units(text: string): number[] {
  const found = text.split(',').flatMap((part) => {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (!(from >= 0 && to >= from && to <= 255)) throw new InvalidArgumentError('addresses like 1-247 or 1,5,10-20.');
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
  return [...new Set(found)];
}
