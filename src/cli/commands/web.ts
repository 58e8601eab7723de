import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printLine, printNote } from '../output.ts';

/** Shorter passwords can be guessed in spite of the rate limit and the hash. */
const MIN_LENGTH = 8;

/** Adds `web password` and `web token`. */
export function addWeb(cli: CliCommand): void {
  const web = cli.command('web').description('make passwords and tokens for web.users in the configuration');
  web
    .command('password')
    .description('ask for a password (or read a line from stdin) and print its hash')
    .examples('dcs-io web password')
    .action(password);
  web
    .command('token')
    .description('make a token for a program, and print it and its hash')
    .examples('dcs-io web token')
    .action(token);
}

/** Prints the configuration line with the hash. The password itself is never shown. */
async function password(): Promise<void> {
  const { hashPassword } = await import('../../web/auth/credentials.ts');
  const typed = await readSecret('password: ');
  if ([...typed].length < MIN_LENGTH) {
    throw new CliError(exitCodes.wrongUse, `a password has at least ${MIN_LENGTH} characters`);
  }
  if (process.stdin.isTTY && (await readSecret('once more: ')) !== typed) {
    throw new CliError(exitCodes.wrongUse, 'the two are not the same');
  }
  printLine(`password: ${await hashPassword(typed)}`);
  printNote('put it into the configuration: web: { users: { NAME: { role: operate, password: … } } }');
}

async function token(): Promise<void> {
  const { newToken } = await import('../../web/auth/credentials.ts');
  const made = newToken();
  printLine(`token: ${made.hash}`);
  printNote(`put that into the configuration: web: { users: { NAME: { role: view, token: … } } }`);
  printNote(`the program sends: authorization: Bearer ${made.token}`);
  printNote('the token is shown this once only');
}

/** Reads a line of stdin; on a terminal without showing it. */
async function readSecret(question: string): Promise<string> {
  const terminal = process.stdin.isTTY === true;
  if (terminal) process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
    if (terminal) process.stderr.write('\n');
  }
}
