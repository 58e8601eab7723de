import { Option } from 'commander';
import type { Grant } from '../../mesh/security/keys.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { configOption, jsonOption } from '../options.ts';
import { colour, printJson, printLine, printNote, table } from '../output.ts';

interface KeysOptions {
  readonly config?: string;
  readonly keys?: string;
}

interface AllowOptions extends KeysOptions {
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  readonly relay?: boolean;
}

/** Adds `keys new`, `keys show`, `keys allow`, `keys revoke` and `keys list`. */
export function addKeys(cli: CliCommand): void {
  const keys = cli.command('keys').description('manage who may talk with this node on an encrypted bus (bus.security)');
  const add = (name: string, description: string) =>
    keys
      .command(name)
      .description(description)
      .addOption(configOption('its bus.security.keys is the folder (default: ./dcs-io.yaml, …)'))
      .addOption(new Option('--keys <folder>', 'the folder of keys itself, without a configuration'));
  add('new', "create this node's key pair and print its public key").examples('dcs-io keys new').action(create);
  add('show', "print this node's public key, which the others must allow").examples('dcs-io keys show').action(show);
  add('allow', 'allow the owner of a public key; replaces what that name was allowed before')
    .argument('<name>', 'your name for it')
    .argument('<key>', "its public key, in 'single quotes'")
    .option('--read <pattern...>', "pins whose reports it gets, like 'tank-*' (default: all)")
    .option('--write <pattern...>', 'pins and serial ports it may command (default: all; with --read alone: none)')
    .option('--relay', 'it may also pass on messages of processes behind it')
    .examples("dcs-io keys allow panel 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7' --read '*' --write 'hall.*'")
    .action(allowKey);
  add('revoke', 'refuse it from now on; a running node closes its connection within a second')
    .argument('<name>')
    .examples('dcs-io keys revoke panel')
    .action(revokeKey);
  add('list', 'list the allowed keys with their rights')
    .addOption(jsonOption())
    .examples('dcs-io keys list')
    .action(list);
}

/** Prints only the public key to stdout, so that a script can take it. */
async function create(options: KeysOptions): Promise<void> {
  const { newKeys } = await import('../../mesh/security/keys.ts');
  const folder = await keysFolder(options);
  const { publicKey } = await newKeys(folder);
  printLine(publicKey);
  printNote(
    `made ${folder}/node.key, which stays on this machine; on the others: dcs-io keys allow NAME '${publicKey}'`,
  );
}

async function show(options: KeysOptions): Promise<void> {
  const { showKey } = await import('../../mesh/security/keys.ts');
  printLine(showKey(await keysFolder(options)));
}

async function allowKey(name: string, key: string, options: AllowOptions): Promise<void> {
  const { allow } = await import('../../mesh/security/keys.ts');
  const { read = ['*'], relay = false } = options;
  // `--read` without `--write` is meant as a limit: it does not allow every command.
  const write = options.write ?? (options.read ? [] : ['*']);
  allow(await keysFolder(options), name, key, { read, write, relay });
  const rights = `reads ${patternText(read)}, commands ${patternText(write)}`;
  printLine(`${name}: ${rights}${relay ? ', passes on messages of others' : ''}`);
}

async function revokeKey(name: string, options: KeysOptions): Promise<void> {
  const { revoke } = await import('../../mesh/security/keys.ts');
  revoke(await keysFolder(options), name);
  printLine(`${name} is no longer allowed`);
}

/** Fails when an entry cannot be read, because it allows nobody against its author's intention. */
async function list(options: KeysOptions & { readonly json?: boolean }): Promise<void> {
  const { listAllowed } = await import('../../mesh/security/keys.ts');
  const { grants, broken } = listAllowed(await keysFolder(options));
  if (options.json) for (const grant of grants) printJson(grant);
  else printLine(table(['NAME', 'READ', 'WRITE', 'RELAY', 'KEY'], grants.map(row)));
  for (const name of broken) printNote(`${colour.red('broken:')} ${name} cannot be read and allows nobody`);
  if (broken.length > 0) process.exitCode = exitCodes.failed;
}

function row({ name, key, read, write, relay }: Grant): string[] {
  return [name, patternText(read), patternText(write), relay ? 'yes' : 'no', key];
}

function patternText(patterns: readonly string[]): string {
  return patterns.length === 0 ? 'nothing' : patterns.map((each) => (each === '*' ? 'everything' : each)).join(' ');
}

/** The folder of `--keys`, else of the configuration. */
async function keysFolder({ keys, config }: KeysOptions): Promise<string> {
  if (keys !== undefined) return keys;
  const { configFile, readConfig } = await import('../config-file.ts');
  const { bus } = await readConfig(config);
  if (bus.security) return bus.security.keys;
  throw new CliError(
    exitCodes.wrongUse,
    `${configFile(config)} names no folder of keys`,
    'add bus: { security: { keys: ./keys } } to it, or use --keys FOLDER',
  );
}
