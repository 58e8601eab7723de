import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { hex } from '../../../drivers/i2c/bus.ts';
import type { Board } from '../../board/board.ts';
import { detectBoard } from '../../board/detect.ts';
import { loadConfigText } from '../../config/load.ts';
import { findProfiles } from '../../config/profile.ts';
import { lastingPaths, listPorts } from '../../driver/kit/serial-ports.ts';
import { allDrivers } from '../../driver-registry.ts';
import { messageOf } from '../../errors/errors.ts';
import { loadZmq } from '../../mesh/transport/socket-factory.ts';
import { describeProblem } from '../config-file.ts';
import { type Answers, configTemplate, type DetectedChip, type Detection } from '../config-template.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printLine, printNote } from '../output.ts';
import { scan } from './scan-i2c.ts';

export interface InitOptions {
  readonly config: string;
  readonly yes?: boolean;
  readonly force?: boolean;
}

/** Looks at this computer, asks what it cannot see, and writes a first configuration. */
export async function init({ config: file, yes, force }: InitOptions): Promise<void> {
  if (existsSync(file) && !force) {
    throw new CliError(exitCodes.wrongUse, `${file} exists`, 'choose another with -c FILE, or replace it with --force');
  }
  const found = await detectHardware();
  const choices = yes ? { node: found.node, web: true, serial: new Map() } : await ask(found);
  const text = configTemplate(found, choices);
  const loaded = loadConfigText(text, file, { drivers: await allDrivers() });
  if (!loaded.ok) {
    const complaints = loaded.problems.map(describeProblem).join('\n');
    throw new CliError(exitCodes.failed, `what would be written is not right; nothing was written\n${complaints}`);
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text, { flag: force ? 'w' : 'wx' });
  printLine(`wrote ${file}`);
  printNote(`next: put your pins into it, then dcs-io check -c ${file} and dcs-io run -c ${file}`);
}

async function detectHardware(): Promise<Detection> {
  const board = detectBoard();
  printNote(board ? `board: ${board.title}` : 'board: none that dcs-io knows');
  const lasting = lastingPaths();
  const serial = listPorts().map(({ path, maker = '', product = '' }) => ({
    path: lasting.get(path) ?? path,
    about: `${maker} ${product}`.trim(),
  }));
  for (const { path, about } of serial) printNote(`serial: ${path}  ${about}`.trimEnd());
  const i2c: Detection['i2c'][number][] = [];
  for (const path of i2cBuses()) i2c.push({ path, chips: await detectChips(path) });
  const bus = await loadZmq().then(
    () => true,
    (error: unknown) => {
      printNote(`bus: ${messageOf(error)}`);
      return false;
    },
  );
  return {
    node: hostname(),
    bus,
    board: board && { name: board.name, title: board.title, lines: freeLines(board) },
    serial,
    i2c,
  };
}

function i2cBuses(): string[] {
  return readdirSync('/dev')
    .filter((name) => /^i2c-\d+$/.test(name))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => `/dev/${name}`);
}

async function detectChips(path: string): Promise<DetectedChip[]> {
  try {
    const chips = await scan(path);
    for (const { address, guesses } of chips) printNote(`${path}: ${hex(address)}  ${guesses.join(', or ')}`);
    const known = findProfiles('i2c', undefined).map(({ name }) => name);
    return chips.map(({ address, guesses }) => ({
      address: hex(address),
      guesses,
      profiles: known.filter((name) => guesses.some((guess) => guessMatchesProfile(guess, name))),
    }));
  } catch (error) {
    printNote(`${path}: not scanned: ${messageOf(error)}`);
    return [];
  }
}

/** Whether a guess, `MCP23017, MCP23008 or PCF8574`, names the chip of a profile, `microchip/mcp23017`. */
function guessMatchesProfile(guess: string, profile: string): boolean {
  const model = profile.slice(profile.lastIndexOf('/') + 1);
  return guess
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .includes(model);
}

/** Lines that no bus of the board may ever want. */
function freeLines(board: Board): string[] {
  const taken = new Set(board.buses.flatMap(({ lines }) => lines.map(({ chip, line }) => `${chip} ${line}`)));
  return board.aliases().filter((alias) => {
    const line = board.resolve(alias);
    return /^[A-Z]+_?\d+$/.test(alias) && line !== undefined && !taken.has(`${line.chip} ${line.line}`);
  });
}

/** Asks on stderr, reads stdin: on a terminal or from a pipe. No answer means what stands in brackets. */
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
    const serial = new Map<string, 'modbus' | 'serial'>();
    for (const { path, about } of found.serial) {
      const use = await question(`what is on ${path} ${about}: modbus, serial or nothing?`, 'nothing');
      if (use === 'modbus' || use === 'serial') serial.set(path, use);
    }
    const web = await question('serve the web page on this machine?', 'yes');
    return { node, web: /^y/i.test(web), serial };
  } finally {
    lines.close();
  }
}
