import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../errors/errors.ts';
import type { Board } from './board.ts';
import { dataFolder, listBoards, loadBoard, readBoardData } from './load-board.ts';

/** The firmware's description of this computer. */
export interface DeviceTree {
  /** `Raspberry Pi 4 Model B Rev 1.4`. `undefined` when this machine has no device tree. */
  readonly model: string | undefined;
  readonly compatible: readonly string[];
}

/** Reads the model and the compatible strings of this machine. */
export function readDeviceTree(folder = '/proc/device-tree'): DeviceTree {
  const model = stringsOf(join(folder, 'model'))[0];
  return { model, compatible: stringsOf(join(folder, 'compatible')) };
}

/**
 * Detects the board of this computer. `undefined` when it is none that we know. The first match of these wins:
 * 1. a compatible string of a carrier board, because the model is that of the module on the carrier;
 * 2. the model, because the firmware writes it more precisely than the compatible strings;
 * 3. the most specific compatible string.
 */
export function detectBoard(tree: DeviceTree = readDeviceTree(), folder: string = dataFolder()): Board | undefined {
  // The model with its revision comes first: the first Model B has another header than the second.
  const models = tree.model === undefined ? [] : [tree.model, tree.model.replace(/ Rev [\d.]+$/, '')];
  const words = [...models, ...tree.compatible];
  // Parse only the files that name this computer, because a start on a slow machine takes long.
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

/** Reads a device-tree property of strings, each terminated by a NUL. */
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
