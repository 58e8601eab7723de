#!/usr/bin/env node
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { messageOf, systemCode } from '../errors/errors.ts';
import { exitCodeOf, exitCodes, hintFor } from './exit.ts';
import { colour, printNote } from './output.ts';
import { program } from './program.ts';

/** Keeps compiled code from one start to the next, which Node 22 and later can; in this user's own folder, because it is run. */
function enableCompileCache(): void {
  if (!('enableCompileCache' in module) || typeof module.enableCompileCache !== 'function') return;
  module.enableCompileCache(join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'dcs-io'));
}

/** Ignores a closed pipe: the reader of the output, like `head`, may end first, and an error would have no reader. */
function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (systemCode(error) !== 'EPIPE') throw error;
    });
  }
}

async function main(): Promise<void> {
  ignoreClosedPipes();
  enableCompileCache();
  try {
    await (await program(process.argv.slice(2))).parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version end here too, with code 0; every other one is a wrong use.
      process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.wrongUse;
      return;
    }
    process.exitCode = exitCodeOf(error);
    printNote(`${colour.red('dcs-io:')} ${messageOf(error)}`);
    const hint = hintFor(error);
    if (hint !== undefined) printNote(`        ${hint}`);
  }
}

await main();
