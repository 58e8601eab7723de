import { lastingPaths, listPorts } from '../../driver/kit/serial-ports.ts';
import { printJson, printLine, printNote, table } from '../output.ts';

/** Lists the serial ports of this machine. */
export function list({ json }: { readonly json?: boolean }): void {
  const lasting = lastingPaths();
  const ports = listPorts().map((port) => ({ ...port, by_id: lasting.get(port.path) }));
  if (json) {
    for (const port of ports) printJson(port);
    return;
  }
  if (ports.length === 0) {
    printNote('this machine has no serial port');
    return;
  }
  const rows = ports.map(({ path, vid, pid, serial = '', maker = '', product = '', by_id = '' }) => [
    path,
    vid === undefined ? '' : `${vid}:${pid}`,
    serial,
    `${maker} ${product}`.trim(),
    by_id,
  ]);
  printLine(table(['PORT', 'USB', 'SERIAL', 'WHAT', 'LASTING NAME'], rows));
}
