import pc from 'picocolors';
import type { Board } from '../../src/board/board.ts';
import { layOutHeaders } from '../../src/board/header-layout.ts';
import { type Hat, listBoards, listHats, loadBoard, loadHat } from '../../src/board/load-board.ts';
import { headerView } from '../../src/cli/commands/boards.ts';
import { code, codeBlock, prose, table } from './markdown.ts';

const plain = pc.createColors(false);

/** All boards, their headers, and the HATs for these headers. */
export function boardsPage(): string[] {
  const boards = listBoards().flatMap((name) => loadBoard(name) ?? []);
  return [
    '`board: auto` detects the board that the agent runs on. Write a line by any of the names below (`gpio: GPIO17`, `gpio: J8-11`), or as `<chip>:<offset>`. `dcs-io boards show` draws the headers of this computer, with the pins and buses that use them.',
    table(['board', 'description', 'GPIO chips', 'serial ports', 'headers'], boards.map(boardRow)),
    '## Headers',
    ...headers(boards),
    '## HATs',
    'A HAT is a board on a header (`hats: [unipi-1]`). It gives names to lines, and keys to pins on them that follow from its wiring.',
    ...listHats().flatMap((name) => hatSection(loadHat(name))),
  ];
}

function boardRow({ name, title, chips, serial, headers: own }: Board): string[] {
  return [
    code(name),
    prose(title),
    Object.values(chips)
      .map(({ label, lines }) => `${code(label)} (${lines})`)
      .join(', '),
    serial.map(({ path }) => code(path)).join(', '),
    own.map(({ connectors }) => connectors.join(' = ')).join(', '),
  ];
}

/** Each drawing once, with the names of its boards. */
function headers(boards: readonly Board[]): string[] {
  const drawings = new Map<string, string[]>();
  for (const board of boards) {
    for (const drawing of layOutHeaders(board)) {
      const text = headerView(drawing, plain);
      drawings.set(text, [...(drawings.get(text) ?? []), board.name]);
    }
  }
  return [...drawings].flatMap(([text, names]) => [`${names.map(code).join(', ')}:`, codeBlock(text)]);
}

function hatSection(hat: Hat | undefined): string[] {
  if (hat === undefined) return [];
  const { name, title, header, needs, lines, chips } = hat;
  const needed = needs.length === 0 ? '' : `, with ${needs.map(code).join(', ')} enabled`;
  const rows = Object.entries(lines).map(([line, { at, keys }]) => [
    code(line),
    code(at),
    Object.entries(keys)
      .map(([key, value]) => code(`${key}: ${value}`))
      .join(', '),
  ]);
  const chipRows = chips.map((chip) => [
    chip.type,
    code(chip.bus),
    code(`0x${chip.address.toString(16)}`),
    prose(chip.title),
  ]);
  return [
    `### ${name}`,
    `${prose(title)}; on a ${code(header)} header${needed}.`,
    ...(rows.length === 0 ? [] : [table(['name', 'line', 'pin keys'], rows)]),
    ...(chipRows.length === 0 ? [] : [table(['chip', 'bus', 'address', 'description'], chipRows)]),
  ];
}
