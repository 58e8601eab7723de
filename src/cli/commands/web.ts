import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { hashPassword, newToken } from '../../web/auth/credentials.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printLine, printNote } from '../output.ts';

/** Shorter ones are guessed in spite of everything. */
const SHORTEST = 8;

/** Prints the line of a password for the configuration; the password is shown nowhere. */
export async function password(): Promise<void> {
  const typed = await ask('password: ');
  if ([...typed].length < SHORTEST) {
    throw new CliError(exitCodes.wrongUse, `a password has at least ${SHORTEST} characters`);
  }
  if (process.stdin.isTTY && (await ask('once more: ')) !== typed) {
    throw new CliError(exitCodes.wrongUse, 'the two are not the same');
  }
  printLine(`password: ${await hashPassword(typed)}`);
  printNote('put it into the configuration: web: { users: { NAME: { role: operate, password: … } } }');
}

/** Prints a new token and the line for the configuration that lets it in. */
export async function token(): Promise<void> {
  const made = newToken();
  printLine(`token: ${made.hash}`);
  printNote(`put that into the configuration: web: { users: { NAME: { role: view, token: … } } }`);
  printNote(`the program sends: authorization: Bearer ${made.token}`);
  printNote('the token is shown this once only');
}

/** A line of stdin; on a terminal without showing it. */
async function ask(question: string): Promise<string> {
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
