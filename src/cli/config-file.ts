import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { relative } from 'node:path';
import type { LoadedConfig } from '../config/load.ts';
import type { Problem, ResolvedConfig } from '../config/resolved.ts';
import { type LoadOptions, loadConfiguration } from '../driver-registry.ts';
import { systemCode } from '../errors/errors.ts';
import { CliError, exitCodes } from './exit.ts';
import { colour, count } from './output.ts';

const DEFAULT_FILES = ['./dcs-io.yaml', '/etc/dcs-io/dcs-io.yaml'];

/** The configuration file: `-c`, else ./dcs-io.yaml, else /etc/dcs-io/dcs-io.yaml. */
export function configFile(option: string | undefined): string {
  if (option !== undefined) return requireReadable(option);
  const found = DEFAULT_FILES.find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw new CliError(
    exitCodes.wrongUse,
    `no configuration: neither ${DEFAULT_FILES.join(' nor ')} exists`,
    'dcs-io init writes a first one; -c FILE names another',
  );
}

/** Returns a readable file; throws with the reason and the next step otherwise. */
function requireReadable(file: string): string {
  try {
    accessSync(file, constants.R_OK);
    if (!statSync(file).isDirectory()) return file;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') {
      const hint = 'it may be root’s or the service’s: sudo, or sudo -u dcs-io';
      throw new CliError(exitCodes.wrongUse, `${file} may not be read by this user`, hint);
    }
    throw new CliError(exitCodes.wrongUse, `there is no file ${file}`, `dcs-io init -c ${file} writes a first one`);
  }
  throw new CliError(exitCodes.wrongUse, `${file} is a folder`, `perhaps -c ${file.replace(/\/?$/, '/dcs-io.yaml')}`);
}

/** Reads and checks a configuration file. */
export function loadFile(file: string, options: LoadOptions = {}): Promise<LoadedConfig> {
  return loadConfiguration(file, options);
}

/**
 * Reads a configuration that must be right; throws with every mistake in it otherwise. A driver that cannot be loaded is only
 * a warning, so that one broken driver stops neither the agent nor the commands that need no driver.
 */
export async function readConfig(file: string | undefined, options: LoadOptions = {}): Promise<ResolvedConfig> {
  const loaded = await loadFile(configFile(file), { skipBrokenDrivers: true, ...options });
  if (loaded.ok) return loaded.config;
  const errors = loaded.problems.filter(({ severity }) => severity === 'error');
  const texts = loaded.problems.map(describeProblem);
  throw new CliError(exitCodes.wrongUse, `${texts.join('\n')}\n${count(errors.length, 'mistake')}: nothing was done`);
}

/** `file:line:column: key: message (found …; expected …; did you mean …?)`, on one line. */
export function describeProblem(problem: Problem): string {
  const { file, line, column, key, message, found, expected, didYouMean, severity } = problem;
  // A configuration that is an object has no lines.
  const place = line === 0 ? 'configuration' : `${relative('', file) || file}:${line}:${column}`;
  const detail = [
    found === undefined ? '' : `found ${found}`,
    // Beside a close match, a long list of all known words does not help.
    expected === undefined || (didYouMean !== undefined && expected.length > 60) ? '' : `expected ${expected}`,
    didYouMean === undefined ? '' : `did you mean '${didYouMean}'?`,
  ].filter((part) => part !== '');
  const tag = severity === 'error' ? colour.red('error') : colour.yellow('warning');
  return `${colour.bold(place)}: ${tag}: ${key === '' ? '' : `${key}: `}${message}${
    detail.length > 0 ? ` (${detail.join('; ')})` : ''
  }`;
}

export function printProblems(problems: readonly Problem[], print: (problem: Problem, text: string) => void): void {
  for (const problem of problems) print(problem, describeProblem(problem));
}
