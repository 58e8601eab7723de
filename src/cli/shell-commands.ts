import { Argument, type Command } from 'commander';

/** Adds what shells and manual pages are made from. */
export function addShellCommands(cli: Command): void {
  cli
    .command('completion')
    .description('print what makes a shell complete commands, options and the names of pins')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action(async (shell) => (await import('./commands/completion.ts')).completion(shell));
  // The shells call this with the words typed so far; the last one is what is to be completed.
  cli
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(async (words) => (await import('./commands/complete.ts')).complete(cli, words));
  cli.command('man', { hidden: true }).action(async () => (await import('./commands/man.ts')).man(cli));
}
