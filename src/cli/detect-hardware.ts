import { hostname } from 'node:os';
import type { Board } from '../board/board.ts';
import { detectBoard } from '../board/detect.ts';
import { findProfiles } from '../config/profile.ts';
import type { Driver } from '../driver/contract.ts';
import { allDrivers } from '../driver-registry.ts';
import { messageOf } from '../errors/errors.ts';
import { loadZmq } from '../mesh/transport/socket-factory.ts';
import type { Detection } from './config-template.ts';
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
  const found = new Map<string, Detection['ports'][number]>();
  for (const { name: driver, detect } of drivers) {
    for (const port of (await detect?.()) ?? []) {
      const present = found.get(port.path);
      const use = { driver, options: port.options };
      const devices = (port.devices ?? []).map((device) => ({
        ...device,
        profiles: profilesFor(driver, device.guesses),
      }));
      found.set(port.path, present ? { ...present, uses: [...present.uses, use] } : { ...port, devices, uses: [use] });
      if (present) continue;
      printNote(`${port.path}  ${port.about}`.trimEnd());
      for (const { address, guesses } of devices) printNote(`${port.path}: ${address}  ${guesses.join(', or ')}`);
      if (port.problem !== undefined) printNote(`${port.path}: not scanned: ${port.problem}`);
    }
  }
  return [...found.values()];
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
