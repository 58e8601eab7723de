import type { CliCommand } from '../command-tree.ts';
import type { ClientOptions } from '../options.ts';
import { printJson, printLine, table } from '../output.ts';

export function addPins(cli: CliCommand): void {
  cli
    .command('pins')
    .description('list every pin on the bus with its value')
    .clientOptions()
    .examples('dcs-io pins', 'dcs-io pins --bus 192.168.1.20:5012:5013')
    .action(pins);
}

async function pins(options: ClientOptions): Promise<void> {
  const { gatherPins, pinColumns } = await import('../pin-list.ts');
  const list = await gatherPins(options);
  const rows = list.sorted();
  if (options.json) for (const [name, { report, ...info }] of rows) printJson({ pin_name: name, ...info, ...report });
  else {
    const cells = rows.map(([name, row]) => list.cells(name, row));
    printLine(table(pinColumns, cells));
  }
}
