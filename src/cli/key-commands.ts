import { type Command, Option } from 'commander';

/** Adds `keys` to the command line: who may talk with a node. */
export function addKeyCommands(cli: Command): void {
  const keys = cli.command('keys').description('who may talk with this node over an encrypted bus (bus.security)');
  const json = new Option('--json', 'one JSON object a line');
  const placed = (name: string, description: string) =>
    keys
      .command(name)
      .description(description)
      .addOption(new Option('-c, --config <file>', 'its bus.security.keys is the folder (default: ./dcs-io.yaml, …)'))
      .addOption(new Option('--keys <folder>', 'the folder itself, without a configuration'));
  placed('new', "make this node's key and print its public half").action(async (options) =>
    (await import('./commands/keys.ts')).create(options),
  );
  placed('show', "print this node's public key, which the others must allow").action(async (options) =>
    (await import('./commands/keys.ts')).show(options),
  );
  placed('allow', 'let the owner of a public key in; replaces what that name was allowed before')
    .argument('<name>', 'what you call it')
    .argument('<key>', "its public key, in 'single quotes'")
    .option('--read <pattern...>', "pins whose reports it gets, like 'tank-*' (default: all)")
    .option('--write <pattern...>', 'pins and serial ports it may command (default: all, but none beside --read alone)')
    .option('--relay', 'it may also pass on messages of processes behind it')
    .action(async (name, key, options) => (await import('./commands/keys.ts')).allowKey(name, key, options));
  placed('revoke', 'let it in no more; a running node cuts its link within a second')
    .argument('<name>')
    .action(async (name, options) => (await import('./commands/keys.ts')).revokeKey(name, options));
  placed('list', 'list who is let in, and for what')
    .addOption(json)
    .action(async (options) => (await import('./commands/keys.ts')).list(options));
}
