import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { hex, type MuxChannel } from '../../../drivers/i2c/bus.ts';
import { openBus } from '../../../drivers/i2c/open-bus.ts';
import { BusOwner } from '../../../drivers/i2c/owner.ts';
import { FIRST, LAST, type ScannedChip, scanBus } from '../../../drivers/i2c/scan.ts';
import { CliError, exitCodes } from '../exit.ts';
import { colour, printJson, printLine, printNote } from '../output.ts';

export interface ScanI2cOptions {
  readonly mux?: MuxChannel;
  readonly json?: boolean;
}

/** Shows the chips on I2C buses as a grid, with what they may be. */
export async function scanI2c(paths: readonly string[] | undefined, { mux, json }: ScanI2cOptions): Promise<void> {
  const asked = paths && paths.length > 0 ? paths : allBuses();
  let found = 0;
  for (const path of asked) {
    const chips = await scan(path, mux);
    found += chips.length;
    if (json) for (const { address, ...rest } of chips) printJson({ bus: path, address: hex(address), ...rest });
    else show(path, chips);
  }
  if (!json) printNote(`${found} chip${found === 1 ? '' : 's'} found; an address alone does not prove what it is`);
  if (found === 0) process.exitCode = exitCodes.noAnswer;
}

/** The chips that answer on a bus, or behind a channel of a mux on it. */
export async function scan(path: string, mux?: MuxChannel): Promise<ScannedChip[]> {
  const owner = new BusOwner(await openBus(path, 'auto'), []);
  try {
    return await scanBus({
      transfer: (address, write, length) => owner.transfer(mux, address, write, length),
    });
  } finally {
    // A transfer without a mux closes the one that is open.
    if (mux) await owner.transfer(undefined, mux.address, Uint8Array.of(0), 0);
    await owner.close();
  }
}

function allBuses(): string[] {
  const names = existsSync('/dev') ? readdirSync('/dev').filter((name) => /^i2c-\d+$/.test(name)) : [];
  if (names.length > 0) {
    return names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).map((name) => `/dev/${name}`);
  }
  throw new CliError(
    exitCodes.failed,
    'this machine has no I2C bus',
    'on a Raspberry Pi: raspi-config, Interface Options, I2C; elsewhere: modprobe i2c-dev',
  );
}

function show(path: string, chips: readonly ScannedChip[]): void {
  printLine(`${path}  ${colour.dim(adapterName(path))}`.trimEnd());
  for (const row of grid(chips)) printLine(row);
  for (const { address, state, guesses } of chips) {
    const what = guesses.length > 0 ? guesses.join(', or ') : 'nothing known is usually there';
    printLine(`${hex(address)}  ${what}${state === 'used' ? ' (held by a kernel driver)' : ''}`);
  }
}

/** Sixteen addresses a row: their number where a chip answers, UU where a kernel driver holds it, -- where nobody does. */
export function grid(chips: readonly ScannedChip[]): string[] {
  const states = new Map(chips.map(({ address, state }) => [address, state]));
  const head = `    ${Array.from({ length: 16 }, (_, column) => column.toString(16).padStart(2)).join(' ')}`;
  const rows = Array.from({ length: 8 }, (_, row) => {
    const cells = Array.from({ length: 16 }, (_, column) => {
      const address = 16 * row + column;
      if (address < FIRST || address > LAST) return '  ';
      const state = states.get(address);
      return state === undefined ? '--' : state === 'used' ? 'UU' : address.toString(16).padStart(2, '0');
    });
    return `${row.toString(16)}0: ${cells.join(' ')}`.trimEnd();
  });
  return [head, ...rows];
}

function adapterName(path: string): string {
  const file = `/sys/class/i2c-dev/${path.replace('/dev/', '')}/name`;
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
}
