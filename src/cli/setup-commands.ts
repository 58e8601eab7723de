import { type Command, InvalidArgumentError, Option } from 'commander';

/** Adds what sets a machine up and looks after it. */
export function addSetupCommands(cli: Command): void {
  const json = new Option('--json', 'one JSON object a line');
  const config = new Option(
    '-c, --config <file>',
    'configuration (default: ./dcs-io.yaml, then /etc/dcs-io/dcs-io.yaml)',
  );
  cli
    .command('init')
    .description('look at this computer and write a first configuration; it asks what it cannot see')
    .addOption(new Option('-c, --config <file>', 'what to write').default('./dcs-io.yaml'))
    .option('--yes', 'ask nothing')
    .option('--force', 'replace a file that exists')
    .action(async (options) => (await import('./commands/init.ts')).init(options));
  cli
    .command('doctor')
    .description('look for what keeps the agent from working: rights, devices, clock, keys, bus; and say what to do')
    .addOption(config)
    .addOption(new Option('--bus <host:rx:tx>', "a bus that must answer (default: this machine's, which may)"))
    .addOption(json)
    .action(async (options) => (await import('./commands/doctor.ts')).doctor(options));
  cli
    .command('release')
    .description('let go of the outputs that a guardian holds since the agent was stopped or crashed')
    .addOption(config)
    .option('--all', 'of all agents of this user that do not run, whatever their configuration')
    .action(async (options) => (await import('./commands/release.ts')).release(options));
  cli
    .command('tail')
    .description("print the end of the audit log of this machine's agent: who commanded what, and what became of it")
    .argument('[pattern...]', "the pins it is about, like 'tank-*'")
    .addOption(config)
    .addOption(new Option('-n, --lines <n>', 'how many').default(20).argParser(count))
    .option('-f, --follow', 'go on with what is added')
    .addOption(json)
    .action(async (patterns, options) => (await import('./commands/tail.ts')).tail(patterns, options));
}

function count(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a number of lines, like 50.');
}
