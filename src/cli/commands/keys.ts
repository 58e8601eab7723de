import { allow, type Grant, listAllowed, newKeys, revoke, showKey } from '../../mesh/security/keys.ts';
import { configFile, readConfig } from '../config-file.ts';
import { CliError, exitCodes } from '../exit.ts';
import { colour, printJson, printLine, printNote, table } from '../output.ts';

export interface KeysOptions {
  readonly config?: string;
  readonly keys?: string;
}

export interface AllowOptions extends KeysOptions {
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  readonly relay?: boolean;
}

/** Makes this node's key. Prints the public half alone, so that a script can take it. */
export async function create(options: KeysOptions): Promise<void> {
  const folder = await folderOf(options);
  const { publicKey } = await newKeys(folder);
  printLine(publicKey);
  printNote(
    `made ${folder}/node.key, which stays on this machine; on the others: dcs-io keys allow NAME '${publicKey}'`,
  );
}

/** Prints this node's public key. */
export async function show(options: KeysOptions): Promise<void> {
  printLine(showKey(await folderOf(options)));
}

/** Lets the owner of a key in. */
export async function allowKey(name: string, key: string, options: AllowOptions): Promise<void> {
  const { read = ['*'], relay = false } = options;
  // Who limits reading and says no word about commands does not mean that everything may be commanded.
  const write = options.write ?? (options.read ? [] : ['*']);
  allow(await folderOf(options), name, key, { read, write, relay });
  const may = `reads ${shown(read)}, commands ${shown(write)}${relay ? ', passes on messages of others' : ''}`;
  printLine(`${name}: ${may}`);
}

/** Takes the right to talk away. */
export async function revokeKey(name: string, options: KeysOptions): Promise<void> {
  revoke(await folderOf(options), name);
  printLine(`${name} is let in no more`);
}

/** Lists who is let in. Ends with 1 when an entry makes no sense: it lets nobody in, which its maker did not mean. */
export async function list(options: KeysOptions & { readonly json?: boolean }): Promise<void> {
  const { grants, broken } = listAllowed(await folderOf(options));
  if (options.json) for (const grant of grants) printJson(grant);
  else printLine(table(['NAME', 'READ', 'WRITE', 'RELAY', 'KEY'], grants.map(row)));
  for (const name of broken) printNote(`${colour.red('broken:')} ${name} makes no sense and lets nobody in`);
  if (broken.length > 0) process.exitCode = exitCodes.failed;
}

function row({ name, key, read, write, relay }: Grant): string[] {
  return [name, shown(read), shown(write), relay ? 'yes' : 'no', key];
}

function shown(patterns: readonly string[]): string {
  return patterns.length === 0 ? 'nothing' : patterns.map((each) => (each === '*' ? 'everything' : each)).join(' ');
}

/** `--keys`, else what the configuration names. */
async function folderOf({ keys, config }: KeysOptions): Promise<string> {
  if (keys !== undefined) return keys;
  const { bus } = await readConfig(config, false);
  if (bus.security) return bus.security.keys;
  throw new CliError(
    exitCodes.wrongUse,
    `${configFile(config)} names no folder of keys`,
    'add bus: { security: { keys: ./keys } } to it, or use --keys FOLDER',
  );
}
