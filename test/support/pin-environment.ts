import type { Bus } from '../../src/bus/bus.ts';
import type { PinEnvironment } from '../../src/io/pin-actor.ts';
import type { Log } from '../../src/log/log.ts';
import { KeptOutputs } from '../../src/output/kept-state.ts';
import { Nodes } from '../../src/output/nodes.ts';
import { PinTable } from '../../src/output/pin-table.ts';

/** What pins share, for a process whose node is `here` and that keeps nothing, or in a file. */
export function pinEnvironment(bus: Bus, log: Log, file?: string): PinEnvironment {
  const { clock } = bus;
  const nodes = new Nodes(clock, 'here', (id) => bus.nameOf(id));
  return { log, nodes, table: new PinTable(clock), kept: new KeptOutputs(file, { clock, log }) };
}
