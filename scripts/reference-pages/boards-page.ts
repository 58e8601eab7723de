import pc from 'picocolors';
import type { Board } from '../../src/board/board.ts';
import { type Hat, listHats, loadHat } from '../../src/board/hat.ts';
import { layOutHeaders } from '../../src/board/header-layout.ts';
import { listBoards, loadBoard } from '../../src/board/load-board.ts';
import { headerView } from '../../src/cli/commands/boards.ts';
import { code, codeBlock, prose, table } from './markdown.ts';

const plain = pc.createColors(false);

/** Every board, the headers they have, and what can be put on them. */
export function boardsPage(): string[] {
  const boards = listBoards().flatMap((name) => loadBoard(name) ?? []);
  return [
    '`board: auto` finds out which one the agent runs on. A line has any of the names below (`gpio: GPIO17`, `gpio: J8-11`), or `<chip>:<offset>`. `dcs-io boards show` draws the headers of the computer it runs on, with what is in use.',
    table(['board', 'what it is', 'GPIO chips', 'serial ports', 'headers'], boards.map(boardRow)),
    '## Headers',
    ...headers(boards),
    '## HATs',
    'Boards put on a header (`hats: [unipi-1]`) name its lines, and bring the pin keys that follow from how they are wired.',
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

/** Each drawing once, with the boards that have it. */
function headers(boards: readonly Board[]): string[] {
  const drawings = new Map<string, string[]>();
  for (const board of boards) {
    for (const drawing of layOutHeaders(board)) {
      const text = headerView(drawing, plain);
      drawings.set(text, [...(drawings.get(text) ?? []), board.name]);
    }
  }
  return [...drawings].flatMap(([text, names]) => [`Of ${names.map(code).join(', ')}:`, codeBlock(text)]);
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
  const behind = chips.map((chip) => [
    chip.type,
    code(chip.bus),
    code(`0x${chip.address.toString(16)}`),
    prose(chip.title),
  ]);
  return [
    `### ${name}`,
    `${prose(title)}; on a ${code(header)} header${needed}.`,
    ...(rows.length === 0 ? [] : [table(['name', 'line', 'pin keys'], rows)]),
    ...(behind.length === 0 ? [] : [table(['chip', 'bus', 'address', 'what it is'], behind)]),
  ];
}
