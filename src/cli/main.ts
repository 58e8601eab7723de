#!/usr/bin/env node
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { messageOf } from '../errors/errors.ts';
import { exitCodeOf, exitCodes, nextStep } from './exit.ts';
import { colour, printNote } from './output.ts';
import { program } from './program.ts';

/** Node 22 and later can keep compiled code from one start to the next: in this user's own folder, for it will be run. */
function keepCompiledCode(): void {
  if (!('enableCompileCache' in module) || typeof module.enableCompileCache !== 'function') return;
  module.enableCompileCache(join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'dcs-io'));
}

async function main(): Promise<void> {
  keepCompiledCode();
  try {
    await program().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version arrive here too, with code 0; everything else was a wrong use.
      process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.wrongUse;
      return;
    }
    process.exitCode = exitCodeOf(error);
    printNote(`${colour.red('dcs-io:')} ${messageOf(error)}`);
    const hint = nextStep(error);
    if (hint !== undefined) printNote(`        ${hint}`);
  }
}

await main();
