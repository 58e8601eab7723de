import type { PortContext } from '../../src/driver/driver.ts';
import type { SerialOptions } from './options.ts';
import type { Transport, TransportEvents } from './transport.ts';
import { Tty } from './tty.ts';

export type TransportOpened =
  | { readonly kind: 'transport'; readonly transport: Transport }
  | { readonly kind: 'skipped'; readonly reason: string };

/** The path to open. */
export function pathOf(options: SerialOptions): string {
  return options.path ?? '';
}

/** Opens the way to the device that the path names. */
export async function openTransport(
  path: string,
  options: SerialOptions,
  context: PortContext,
  events: TransportEvents,
): Promise<TransportOpened> {
  const opened = await Tty.open(path, options.line, context.clock, events);
  return opened.kind === 'skipped' ? opened : { kind: 'transport', transport: opened.tty };
}
