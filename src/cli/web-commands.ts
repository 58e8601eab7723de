import type { Command } from 'commander';

/** Adds `web` to the command line: who may log in to the web page. */
export function addWebCommands(cli: Command): void {
  const web = cli.command('web').description('make what web.users in the configuration needs');
  web
    .command('password')
    .description('ask for a password (or read a line from stdin) and print its hash')
    .action(async () => (await import('./commands/web.ts')).password());
  web
    .command('token')
    .description('make a token for a program, and print it and its hash')
    .action(async () => (await import('./commands/web.ts')).token());
}
