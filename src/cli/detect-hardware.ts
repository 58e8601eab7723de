import { hostname } from 'node:os';
import type { Board } from '../board/board.ts';
import { detectBoard } from '../board/detect.ts';
import { findProfiles } from '../config/profile.ts';
import type { DetectedPort, Driver } from '../driver/contract.ts';
import { allDrivers } from '../driver-registry.ts';
import { messageOf } from '../errors/errors.ts';
import { loadZmq } from '../mesh/transport/socket-factory.ts';
import type { DetectedHardware, Detection } from './config-template.ts';
import { printNote } from './output.ts';

/** Detects the board, the hardware that drivers find, and ZeroMQ on this computer, and prints it. */
export async function detectHardware(): Promise<Detection> {
  const board = detectBoard();
  printNote(board ? `board: ${board.title}` : 'board: none that dcs-io knows');
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
    ports: await detectPorts(await allDrivers()),
  };
}

/** Asks the drivers for ports. Ports of several drivers with the same path are one, with several possible drivers. */
export async function detectPorts(drivers: readonly Driver[]): Promise<Detection['ports']> {
  const found = new Map<string, DetectedHardware>();
  for (const driver of drivers) {
    for (const port of (await driver.detect?.()) ?? []) {
      const use = { driver: driver.name, options: port.options };
      const present = found.get(port.path);
      if (present) found.set(port.path, { ...present, uses: [...present.uses, use] });
      else found.set(port.path, describeDetected(port, use));
    }
  }
  return [...found.values()];
}

function describeDetected(port: DetectedPort, use: DetectedHardware['uses'][number]): DetectedHardware {
  printNote(`${port.path}  ${port.about}`.trimEnd());
  if (port.problem !== undefined) printNote(`${port.path}: not scanned: ${port.problem}`);
  const devices = (port.devices ?? []).map((device) => {
    printNote(`${port.path}: ${device.address}  ${device.guesses.join(', or ')}`);
    return { ...device, profiles: profilesFor(use.driver, device.guesses) };
  });
  return { ...port, devices, uses: [use] };
}

function profilesFor(driver: string, guesses: readonly string[]): string[] {
  const known = findProfiles(driver, undefined).map(({ name }) => name);
  return known.filter((name) => guesses.some((guess) => guessMatchesProfile(guess, name)));
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
