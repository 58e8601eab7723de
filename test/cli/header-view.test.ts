import pc from 'picocolors';
import { describe, expect, test } from 'vitest';
import { layOutHeaders } from '../../src/board/header-layout.ts';
import { listBoards, loadBoard } from '../../src/board/load-board.ts';
import { headerView } from '../../src/cli/commands/boards.ts';

const plain = pc.createColors(false);
const coloured = pc.createColors(true);
const escapes = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g');
const use = { lines: new Map([['pinctrl-bcm2711:17', 'green-led']]), buses: ['i2c1'] };

function views(name: string, colour = plain): string[] {
  const board = loadBoard(name);
  return board ? layOutHeaders(board, use).map((drawing) => headerView(drawing, colour)) : [];
}

describe('headerView', () => {
  test('shows the use of each line beside its name and position', () => {
    const [view = ''] = views('raspberry-pi-4b');
    expect(view).toMatch(/^green-led +SPI1_CE1 +GPIO17 +11 │ 12 {2}GPIO18 +PCM_CLK SPI1_CE0$/m);
    expect(view).toMatch(/^ +i2c1 +SDA1 +GPIO2 +3 │ {2}4 {2}5V$/m);
    expect(view.split('\n')).toHaveLength(22);
  });

  test.each(listBoards())('%s: the middle is in one column, and colour changes nothing but colour', (name) => {
    const drawn = views(name);
    for (const view of drawn) {
      const middles = view
        .split('\n')
        .slice(2)
        .map((line) => line.indexOf('│'));
      expect(new Set(middles).size).toBe(1);
    }
    const stripped = views(name, coloured).map((view) => view.replaceAll(escapes, ''));
    expect(stripped).toEqual(drawn);
  });
});
