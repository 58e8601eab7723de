import { BusClient, busEndpoint } from '../bus-client.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printJson, printLine, table } from '../output.ts';
import { PinList, pinColumns } from '../pin-list.ts';

export interface PinsOptions {
  readonly bus?: string;
  readonly json?: boolean;
  readonly timeout: number;
}

/** Lists every pin on the bus with its value. */
export async function pins(options: PinsOptions): Promise<void> {
  const list = await gatherPins(options);
  const rows = list.sorted();
  if (options.json) {
    for (const [name, { report, ...info }] of rows) printJson({ pin_name: name, ...info, ...report });
  } else
    printLine(
      table(
        pinColumns,
        rows.map(([name, row]) => list.cells(name, row)),
      ),
    );
}

/** Every pin on the bus. Throws when there is none. */
export async function gatherPins({ bus, timeout }: PinsOptions): Promise<PinList> {
  const client = new BusClient(busEndpoint(bus));
  const list = new PinList(client);
  try {
    await client.connect(timeout);
    await list.gather(timeout);
  } finally {
    await client.close();
  }
  if (list.rows.size === 0) {
    throw new CliError(exitCodes.noAnswer, 'no pin answers on the bus', 'is an agent running there?');
  }
  return list;
}
