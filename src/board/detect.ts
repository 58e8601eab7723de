import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../errors/errors.ts';
import type { Board } from './board.ts';
import { dataFolder, listBoards, loadBoard, readBoardData } from './load-board.ts';

/** What the firmware says this computer is. */
export interface DeviceTree {
  /** `Raspberry Pi 4 Model B Rev 1.4`. Undefined: this machine has no device tree. */
  readonly model: string | undefined;
  readonly compatible: readonly string[];
}

/** Reads model and compatible strings of this machine. */
export function readDeviceTree(folder = '/proc/device-tree'): DeviceTree {
  const model = stringsOf(join(folder, 'model'))[0];
  return { model, compatible: stringsOf(join(folder, 'compatible')) };
}

/**
 * The board this computer is, or undefined. A carrier board comes first: the model is that of the module it carries, and
 * only a compatible string tells of the carrier. Then the model, because the firmware writes a more precise one than the
 * device tree's compatible strings tell; then the most specific of these.
 */
export function detectBoard(tree: DeviceTree = readDeviceTree(), folder: string = dataFolder()): Board | undefined {
  // With its revision first: the header of the first Model B is another one than that of the second.
  const models = tree.model === undefined ? [] : [tree.model, tree.model.replace(/ Rev [\d.]+$/, '')];
  const words = [...models, ...tree.compatible];
  // Only files that name this computer are worth parsing: the agent starts on slow machines too.
  const boards = listBoards(folder)
    .filter((name) => mentions(join(folder, `${name}.yaml`), words))
    .map((name) => ({ name, ...readBoardData(name, folder) }));
  const compatibleAmong = (some: typeof boards) =>
    tree.compatible
      .map((compatible) => some.find((board) => board.compatible.includes(compatible)))
      .find((board) => board !== undefined);
  const match =
    compatibleAmong(boards.filter((board) => board.models.length === 0)) ??
    models.map((model) => boards.find((board) => board.models.includes(model))).find((board) => board !== undefined) ??
    compatibleAmong(boards);
  return match && loadBoard(match.name, folder);
}

function mentions(file: string, words: readonly string[]): boolean {
  const text = readFileSync(file, 'utf8');
  return words.some((word) => text.includes(word));
}

/** A device-tree property of strings: each ends with a NUL. */
function stringsOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\0')
      .filter((text) => text !== '');
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return [];
    throw error;
  }
}
