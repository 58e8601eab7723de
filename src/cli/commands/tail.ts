import { existsSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { isRecord } from '../../message/envelope.ts';
import { configFile, readConfig } from '../config-file.ts';
import { CliError, exitCodes } from '../exit.ts';
import { colour, printJson, printLine, showTime, showValue } from '../output.ts';
import { globMatcher } from './watch.ts';

export interface TailOptions {
  readonly config?: string;
  readonly lines: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

/** The agent writes twice a second. */
const POLL_MS = 250;
/** Kinds in which somebody did not get what was wanted. */
const ALARMING = ['refused', 'safe', 'security', 'gap'];

/** Prints the end of the audit log of this machine's agent, and what is added to it. */
export async function tail(patterns: readonly string[], options: TailOptions): Promise<void> {
  const config = await readConfig(options.config, false);
  if (config.state === undefined) {
    throw new CliError(
      exitCodes.failed,
      `${configFile(options.config)} names no folder for the audit log`,
      'add state: /var/lib/dcs-io to it; without one the agent keeps no log',
    );
  }
  const path = `${config.state}/${encodeURIComponent(config.node)}.audit.jsonl`;
  if (!existsSync(path) && !options.follow) {
    throw new CliError(exitCodes.failed, `there is no ${path}`, 'the agent makes it when it starts: has it run?');
  }
  const wanted = patterns.length === 0 ? () => true : globMatcher(patterns);
  const print = (text: string) => printEntry(text, wanted, options.json === true);
  const before = existsSync(`${path}.1`) ? entries(readFileSync(`${path}.1`)) : [];
  const begun = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  const all = [...before, ...entries(begun)].filter((text) => matches(text, wanted));
  for (const text of options.lines === 0 ? [] : all.slice(-options.lines)) print(text);
  if (options.follow) await follow(path, wholeLines(begun), print);
}

/** Prints what is added until the process is told to end. */
async function follow(path: string, from: number, print: (text: string) => void): Promise<void> {
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort());
  process.stdout.once('error', () => end.abort());
  let at = from;
  let file = inode(path);
  while (!end.signal.aborted) {
    const now = inode(path);
    if (now !== file) {
      // The full one was set aside and a new one begun: what was added to the old one after our last look is there.
      if (file !== undefined && inode(`${path}.1`) === file) {
        for (const text of entries(readFileSync(`${path}.1`).subarray(at))) print(text);
      }
      [at, file] = [0, now];
    }
    if (file !== undefined) {
      const added = readFileSync(path).subarray(at);
      for (const text of entries(added)) print(text);
      at += wholeLines(added);
    }
    await pause(POLL_MS, undefined, { signal: end.signal }).catch(() => {
      // Told to end.
    });
  }
}

function inode(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Bytes of the lines that are complete. */
function wholeLines(bytes: Buffer): number {
  return bytes.lastIndexOf('\n') + 1;
}

function entries(bytes: Buffer): string[] {
  const text = bytes.subarray(0, wholeLines(bytes)).toString('utf8');
  return text.split('\n').filter((line) => line !== '');
}

/** Entries that are about no pin concern everybody; a damaged line is not hidden. */
function matches(text: string, wanted: (pin: string) => boolean): boolean {
  const entry = parsed(text);
  return typeof entry?.['pin'] !== 'string' || wanted(entry['pin']);
}

function parsed(text: string): Record<string, unknown> | undefined {
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
  const entry = parsed(text);
  if (!entry) {
    if (json) printJson({ kind: 'damaged', text });
    else printLine(colour.red(`damaged: ${JSON.stringify(text)}`));
    return;
  }
  if (json) {
    printJson(entry);
    return;
  }
  const { at, kind, pin, val, ...rest } = entry;
  const day = typeof at === 'number' ? `${new Date(at * 1000).toLocaleDateString('sv')} ${showTime(at)}` : '';
  const name = String(kind);
  const shown = ALARMING.includes(name) ? colour.yellow(name.padEnd(9)) : name.padEnd(9);
  const value = val === undefined ? '' : showValue(val);
  const detail = Object.entries(rest)
    .filter(([key, found]) => !['id', 'sent'].includes(key) && found !== undefined)
    .map(([key, found]) => `${key}=${typeof found === 'string' ? found : JSON.stringify(found)}`);
  printLine([colour.dim(day), shown, String(pin ?? ''), value, colour.dim(detail.join(' '))].join('  ').trimEnd());
}
