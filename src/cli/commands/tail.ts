import { existsSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { InvalidArgumentError, Option } from 'commander';
import { isRecord } from '../../message/envelope.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { configOption, jsonOption, pinFilter } from '../options.ts';
import { colour, printJson, printLine, showTime, showValue } from '../output.ts';

interface TailOptions {
  readonly config?: string;
  readonly lines: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

/** The agent writes twice a second. */
const POLL_MS = 250;
/** Kinds of entries in which a request was not carried out as asked. */
const ALARMING = ['refused', 'safe', 'security', 'gap'];

export function addTail(cli: CliCommand): void {
  cli
    .command('tail')
    .description("print the end of this machine's audit log: who commanded which pin, with the outcome")
    .argument('[pattern...]', "pins to show, like 'tank-*'")
    .addOption(configOption())
    .addOption(new Option('-n, --lines <n>', 'number of lines').default(20).argParser(lineCount))
    .option('-f, --follow', 'go on printing what is added')
    .addOption(jsonOption())
    .examples('dcs-io tail', "dcs-io tail -f 'pump-*'", 'dcs-io tail -n 100 --json')
    .action(tail);
}

function lineCount(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a number of lines, like 50.');
}

async function tail(patterns: readonly string[], options: TailOptions): Promise<void> {
  const path = await auditFile(options);
  if (!existsSync(path) && !options.follow) {
    throw new CliError(exitCodes.failed, `there is no ${path}`, 'the agent creates it when it starts: has it run?');
  }
  const wanted = pinFilter(patterns);
  const print = (text: string) => printEntry(text, wanted, options.json === true);
  const before = existsSync(`${path}.1`) ? entries(readFileSync(`${path}.1`)) : [];
  const present = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  const all = [...before, ...entries(present)].filter((text) => matches(text, wanted));
  for (const text of options.lines === 0 ? [] : all.slice(-options.lines)) print(text);
  if (options.follow) await follow(path, wholeLines(present), print);
}

async function auditFile(options: TailOptions): Promise<string> {
  const { configFile, readConfig } = await import('../config-file.ts');
  const { node, state } = await readConfig(options.config);
  if (state !== undefined) return `${state}/${encodeURIComponent(node)}.audit.jsonl`;
  throw new CliError(
    exitCodes.failed,
    `${configFile(options.config)} names no folder for the audit log`,
    'add state: /var/lib/dcs-io to it; without one the agent keeps no log',
  );
}

/** Prints what is added to the log until the process is told to end. */
async function follow(path: string, from: number, print: (text: string) => void): Promise<void> {
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort());
  process.stdout.once('error', () => end.abort());
  let at = from;
  let file = inode(path);
  while (!end.signal.aborted) {
    const now = inode(path);
    if (now !== file) {
      // The log was rotated: entries added to the old file after the last poll are in `.1`.
      if (file !== undefined && inode(`${path}.1`) === file) printFrom(`${path}.1`, at, print);
      [at, file] = [0, now];
    }
    if (file !== undefined) at += printFrom(path, at, print);
    await pause(POLL_MS, undefined, { signal: end.signal }).catch(() => {
      // Told to end.
    });
  }
}

/** Prints the entries from an offset on; returns their number of bytes. */
function printFrom(path: string, at: number, print: (text: string) => void): number {
  const added = readFileSync(path).subarray(at);
  for (const text of entries(added)) print(text);
  return wholeLines(added);
}

function inode(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Number of bytes in complete lines. */
function wholeLines(bytes: Buffer): number {
  return bytes.lastIndexOf('\n') + 1;
}

function entries(bytes: Buffer): string[] {
  const text = bytes.subarray(0, wholeLines(bytes)).toString('utf8');
  return text.split('\n').filter((line) => line !== '');
}

/** Entries without a pin always match; a damaged line is not hidden. */
function matches(text: string, wanted: (pin: string) => boolean): boolean {
  const entry = parseEntry(text);
  return typeof entry?.['pin'] !== 'string' || wanted(entry['pin']);
}

function parseEntry(text: string): Record<string, unknown> | undefined {
  try {
    const found: unknown = JSON.parse(text);
    return isRecord(found) ? found : undefined;
  } catch {
    // Half a line, of a process that was killed while it wrote.
    return undefined;
  }
}

function printEntry(text: string, wanted: (pin: string) => boolean, json: boolean): void {
  if (!matches(text, wanted)) return;
  const entry = parseEntry(text);
  if (json) printJson(entry ?? { kind: 'damaged', text });
  else printLine(entry ? formatEntry(entry) : colour.red(`damaged: ${JSON.stringify(text)}`));
}

function formatEntry({ at, kind, pin, val, ...rest }: Record<string, unknown>): string {
  const day = typeof at === 'number' ? `${new Date(at * 1000).toLocaleDateString('sv')} ${showTime(at)}` : '';
  const name = String(kind);
  const shown = ALARMING.includes(name) ? colour.yellow(name.padEnd(9)) : name.padEnd(9);
  const value = val === undefined ? '' : showValue(val);
  const detail = Object.entries(rest)
    .filter(([key, found]) => !['id', 'sent'].includes(key) && found !== undefined)
    .map(([key, found]) => `${key}=${typeof found === 'string' ? found : JSON.stringify(found)}`);
  return [colour.dim(day), shown, String(pin ?? ''), value, colour.dim(detail.join(' '))].join('  ').trimEnd();
}
