import { Command, InvalidArgumentError, Option } from 'commander';
import { commandPath, rejectUnknownCommand } from './command-tree.ts';
import { addExamples } from './examples.ts';
import { CliError, exitCodes } from './exit.ts';
import { addI2cScan } from './i2c-commands.ts';
import { addKeyCommands } from './key-commands.ts';
import { logLevels } from './log.ts';
import { addModbusCommands } from './modbus-commands.ts';
import { colour } from './output.ts';
import { addOutputCommands } from './output-commands.ts';
import { addSerialCommands } from './serial-commands.ts';
import { addServiceCommands } from './service-commands.ts';
import { addSetupCommands } from './setup-commands.ts';
import { addShellCommands } from './shell-commands.ts';
import { version } from './version.ts';
import { addWebCommands } from './web-commands.ts';

function milliseconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 3600)) throw new InvalidArgumentError('write seconds, like 5 or 0.5.');
  return seconds * 1000;
}

function seconds(text: string): number {
  const found = Number(text);
  if (!(found >= 0) || text.trim() === '') throw new InvalidArgumentError('write seconds, like 5 or 0.5.');
  return found;
}

function phases(text: string): [number, number] {
  const [on, off = on, ...more] = text.split(',').map(Number);
  if (on === undefined || off === undefined || more.length > 0 || !(on > 0) || !(off > 0)) {
    throw new InvalidArgumentError('write seconds on and off, like 0.2,0.8, or 0.5 for both.');
  }
  return [on, off];
}

/** The command line. Each command's code is loaded when it is asked for: `set` must not wait for the agent's parser. */
export function program(): Command {
  const cli = new Command('dcs-io')
    .description('Hardware I/O edge agent: GPIO, serial, Modbus and I2C on the aktos-dcs bus')
    .version(version())
    .showHelpAfterError('        dcs-io --help lists the commands')
    .configureOutput({ outputError: (text, write) => write(formatUsageError(text)) })
    .enablePositionalOptions()
    .exitOverride();
  const config = new Option(
    '-c, --config <file>',
    'configuration (default: ./dcs-io.yaml, then /etc/dcs-io/dcs-io.yaml)',
  );
  const bus = new Option('--bus <host:rx:tx>', 'where the bus is (default: $DCS_IO_BUS, then 127.0.0.1:5012:5013)');
  const json = new Option('--json', 'one JSON object a line');
  const mock = new Option('--mock', 'replace every port by simulated hardware');
  const timeout = new Option('--timeout <seconds>', 'how long to wait').default(5000, '5').argParser(milliseconds);
  cli.addOption(bus).addOption(json).hook('preAction', applyGlobalOptions);

  cli
    .command('run')
    .description('run the agent until SIGTERM or Ctrl-C')
    .addOption(config)
    .addOption(mock)
    .addOption(new Option('--log-level <level>', 'what is logged').choices([...logLevels]).default('info'))
    .action(async (options) => (await import('./commands/run.ts')).run(options));
  cli
    .command('check')
    .description('say everything that is wrong in a configuration; touches no hardware')
    .addOption(config)
    .addOption(mock)
    .addOption(new Option('--pins', 'list every pin too, with its address on the hardware'))
    .addOption(json)
    .action(async (options) => (await import('./commands/check.ts')).check(options));
  cli
    .command('pins')
    .description('list every pin on the bus with its value')
    .addOption(bus)
    .addOption(json)
    .addOption(timeout)
    .action(async (options) => (await import('./commands/pins.ts')).pins(options));
  cli
    .command('watch')
    .description('a live table of the pins on a terminal; lines of what passes in a pipe')
    .argument('[pattern...]', "the pins to show, like 'tank-*'")
    .addOption(bus)
    .addOption(json)
    .addOption(timeout)
    .option('--log', 'lines of what passes on a terminal too')
    .option('--all', 'lines of every subject, not of pins alone')
    .action(async (patterns, options) => (await import('./commands/watch.ts')).watch(patterns, options));
  cli
    .command('status')
    .description('how the nodes on the bus and their pins are; fails when a pin is bad')
    .addOption(bus)
    .addOption(json)
    .addOption(timeout)
    .action(async (options) => (await import('./commands/status.ts')).status(options));
  cli
    .command('get')
    .description('print the value of a pin; fails when its quality is bad')
    .argument('<pin>')
    .addOption(bus)
    .addOption(json)
    .addOption(timeout)
    .action(async (pin, options) => (await import('./commands/value.ts')).get(pin, options));
  cli
    .command('set')
    .description('ask a pin for a value and wait for its answer')
    .argument('<pin>')
    .argument('<value>', 'on, off, a number or text')
    .addOption(bus)
    .addOption(json)
    .addOption(timeout)
    .addOption(new Option('--pulse <seconds>', 'go back to the other level after that time').argParser(seconds))
    .addOption(new Option('--hold <seconds>', 'a lease: go to the safe value after that time').argParser(seconds))
    .addOption(
      new Option('--blink <on,off>', 'to and fro until the next command: seconds on, seconds off').argParser(phases),
    )
    .addOption(new Option('--ttl <seconds>', 'do not carry it out when it is older').argParser(seconds))
    .action(async (pin, value, options) => (await import('./commands/value.ts')).set(pin, value, options));
  addOutputCommands(cli, { bus, json, timeout });
  const boards = cli.command('boards').description('list and draw the boards this version knows');
  boards
    .command('list', { isDefault: true })
    .allowExcessArguments()
    .hook('preAction', rejectUnknownCommand)
    .description('list the boards')
    .addOption(json)
    .action(async (options) => (await import('./commands/boards.ts')).list(options));
  boards
    .command('show')
    .description('draw the headers of a board (default: this computer), with what is in use')
    .argument('[board]')
    .addOption(new Option('-c, --config <file>', 'draw in the pins of a configuration'))
    .addOption(json)
    .action(async (board, options) => (await import('./commands/boards.ts')).show(board, options));
  boards
    .command('hats')
    .description('list the boards that can be put on a header')
    .addOption(json)
    .action(async (options) => (await import('./commands/boards.ts')).hats(options));
  const scan = cli.command('scan').description('find what is on a bus');
  addModbusCommands(cli, scan);
  addSerialCommands(cli);
  addI2cScan(scan);
  addKeyCommands(cli);
  addWebCommands(cli);
  cli
    .command('schema')
    .description('print the JSON Schema of the configuration, for editors')
    .action(async () => (await import('./commands/schema.ts')).schema());
  addSetupCommands(cli);
  addServiceCommands(cli);
  addShellCommands(cli);
  addExamples(cli);
  return cli;
}

/** What commander says of a wrong use, as every other error is said. */
function formatUsageError(text: string): string {
  return text
    .replace(/^error: /, `${colour.red('dcs-io:')} `)
    .replace(/\n\(Did you mean (.*)\?\)/s, '; did you mean $1?');
}

/** Options that stand before the command are the command's; one that it does not have is said, not ignored. */
function applyGlobalOptions(cli: Command, command: Command): void {
  for (const [name, value] of Object.entries(cli.opts())) {
    if (!command.options.some((option) => option.attributeName() === name)) {
      throw new CliError(exitCodes.wrongUse, `${commandPath(command)} has no option --${name}`);
    }
    if (command.getOptionValueSource(name) !== 'cli') command.setOptionValueWithSource(name, value, 'cli');
  }
}
