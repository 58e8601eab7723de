import { hostname } from 'node:os';
import { hex } from '../../drivers/i2c/bus.ts';
import type { Board } from '../board/board.ts';
import { detectBoard } from '../board/detect.ts';
import { findProfiles } from '../config/profile.ts';
import { lastingPaths, listPorts } from '../driver/kit/serial-ports.ts';
import { messageOf } from '../errors/errors.ts';
import { loadZmq } from '../mesh/transport/socket-factory.ts';
import type { DetectedChip, Detection } from './config-template.ts';
import { i2cBuses, scanI2cBus } from './i2c-scan.ts';
import { printNote } from './output.ts';

/** Detects board, serial ports, I2C chips and ZeroMQ on this computer, and prints what it finds. */
export async function detectHardware(): Promise<Detection> {
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

async function detectChips(path: string): Promise<DetectedChip[]> {
  try {
    const chips = await scanI2cBus(path);
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

/** True when a guess, like `MCP23017, MCP23008 or PCF8574`, names the chip of a profile, like `microchip/mcp23017`. */
function guessMatchesProfile(guess: string, profile: string): boolean {
  const model = profile.slice(profile.lastIndexOf('/') + 1);
  return guess
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .includes(model);
}

/** The lines of a board that none of its buses uses. */
function freeLines(board: Board): string[] {
  const taken = new Set(board.buses.flatMap(({ lines }) => lines.map(({ chip, line }) => `${chip} ${line}`)));
  return board.aliases().filter((alias) => {
    const line = board.resolve(alias);
    return /^[A-Z]+_?\d+$/.test(alias) && line !== undefined && !taken.has(`${line.chip} ${line.line}`);
  });
}
