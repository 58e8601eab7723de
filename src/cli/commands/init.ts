import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { CliCommand } from '../command-tree.ts';
import type { Answers, Detection } from '../config-template.ts';
import { CliError, exitCodes } from '../exit.ts';
import { configOption } from '../options.ts';
import { printLine, printNote } from '../output.ts';

interface InitOptions {
  readonly config: string;
  readonly yes?: boolean;
  readonly force?: boolean;
}

export function addInit(cli: CliCommand): void {
  cli
    .command('init')
    .description('write a first configuration from the detected hardware; asks what it cannot detect')
    .addOption(configOption('file to write').default('./dcs-io.yaml'))
    .option('--yes', 'ask nothing')
    .option('--force', 'replace an existing file')
    .examples('dcs-io init', 'dcs-io init --yes -c /etc/dcs-io/dcs-io.yaml')
    .action(init);
}

/** Detects the hardware of this computer, asks for the rest, and writes a configuration that passes `check`. */
export async function init({ config: file, yes, force }: InitOptions): Promise<void> {
  if (existsSync(file) && !force) {
    throw new CliError(exitCodes.wrongUse, `${file} exists`, 'choose another with -c FILE, or replace it with --force');
  }
  const { detectHardware } = await import('../detect-hardware.ts');
  const { configTemplate } = await import('../config-template.ts');
  const { describeProblem } = await import('../config-file.ts');
  const { allDrivers } = await import('../../driver-registry.ts');
  const { loadConfigText } = await import('../../config/load.ts');
  const found = await detectHardware();
  const answers = yes ? { node: found.node, web: true, drivers: new Map() } : await ask(found);
  const text = configTemplate(found, answers);
  const loaded = loadConfigText(text, file, { drivers: await allDrivers() });
  if (!loaded.ok) {
    const mistakes = loaded.problems.map(describeProblem).join('\n');
    throw new CliError(exitCodes.failed, `the generated configuration has mistakes; nothing was written\n${mistakes}`);
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text, { flag: force ? 'w' : 'wx' });
  printLine(`wrote ${file}`);
  printNote(`next: put your pins into it, then dcs-io check -c ${file} and dcs-io run -c ${file}`);
}

/** Asks on stderr and reads stdin, a terminal or a pipe. An empty answer stands for the default in brackets. */
async function ask(found: Detection): Promise<Answers> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const typed = lines[Symbol.asyncIterator]();
  const question = async (text: string, usual: string) => {
    process.stderr.write(`${text} [${usual}] `);
    const { value, done } = await typed.next();
    return done || value.trim() === '' ? usual : value.trim();
  };
  try {
    const node = await question('name of this machine on the bus', found.node);
    const drivers = new Map<string, string>();
    for (const { path, about, uses } of found.ports.filter((port) => port.uses.length > 1)) {
      const names = uses.map(({ driver }) => driver);
      const use = await question(`what is on ${path} ${about}: ${names.join(', ')} or nothing?`, 'nothing');
      if (names.includes(use)) drivers.set(path, use);
    }
    const web = await question('serve the web page on this machine?', 'yes');
    return { node, web: /^y/i.test(web), drivers };
  } finally {
    lines.close();
  }
}
