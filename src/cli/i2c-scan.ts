import { existsSync, readFileSync } from 'node:fs';
import { FIRST_ADDRESS, hex, LAST_ADDRESS, type ScannedChip } from '../../drivers/i2c/bus.ts';
import { colour, printLine } from './output.ts';

/** Prints the chips of a bus as a grid, with their likely types. */
export function printChips(path: string, chips: readonly ScannedChip[]): void {
  printLine(`${path}  ${colour.dim(adapterName(path))}`.trimEnd());
  for (const row of grid(chips)) printLine(row);
  for (const { address, state, guesses } of chips) {
    const types = guesses.length > 0 ? guesses.join(', or ') : 'no known chip usually has this address';
    printLine(`${hex(address)}  ${types}${state === 'used' ? ' (held by a kernel driver)' : ''}`);
  }
}

/** Sixteen addresses a row: the number where a chip answers, UU where a kernel driver holds it, -- where none answers. */
export function grid(chips: readonly ScannedChip[]): string[] {
  const states = new Map(chips.map(({ address, state }) => [address, state]));
  const head = `    ${Array.from({ length: 16 }, (_, column) => column.toString(16).padStart(2)).join(' ')}`;
  const rows = Array.from({ length: 8 }, (_, row) => {
    const cells = Array.from({ length: 16 }, (_, column) => {
      const address = 16 * row + column;
      if (address < FIRST_ADDRESS || address > LAST_ADDRESS) return '  ';
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
