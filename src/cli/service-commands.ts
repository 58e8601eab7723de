import { type Command, Option } from 'commander';

/** Adds `service` to the command line. */
export function addServiceCommands(cli: Command): void {
  const root = new Option('--root <folder>', 'what stands for /, for making images; nothing is started').default('/');
  const service = cli.command('service').description('run the agent as a service of systemd');
  service
    .command('install')
    .description('make a unit, a user and a first configuration, and start it; keeps a configuration that exists')
    .addOption(root)
    .action(async (options) => (await import('./commands/service.ts')).install(options));
  service
    .command('uninstall')
    .description('stop it and remove the unit; configuration and state are kept')
    .addOption(root)
    .action(async (options) => (await import('./commands/service.ts')).uninstall(options));
  service
    .command('status')
    .description('what systemd says of it')
    .action(async () => (await import('./commands/service.ts')).status());
}
