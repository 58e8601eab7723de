import type { DriverContext } from '../../../src/driver/contract.ts';
import { findUsb, listPorts } from '../../../src/driver/kit/serial-ports.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import type { SerialOptions } from '../options.ts';
import { Rfc2217Line } from './network.ts';
import { networkPath } from './network-path.ts';
import { ReopeningLine } from './reopening-line.ts';
import { drivenLines, type Transport, type TransportEvents } from './transport.ts';
import { Tty } from './tty.ts';

export type TransportOpened =
  | { readonly kind: 'transport'; readonly transport: Transport }
  | { readonly kind: 'skipped'; readonly reason: string };

/** The path to open now: an adapter with USB ids may get another path each time it is plugged in. */
export function pathOf({ path, usb }: SerialOptions): string {
  return usb ? findUsb(usb, listPorts()) : (path ?? '');
}

/** Options for opening the line. */
export type LineOptions = Pick<SerialOptions, 'line' | 'flow' | 'hupcl' | 'low_latency' | 'dtr' | 'rts'>;

/** Opens the connection to the device and sets its modem lines. Rejects as Tty, TcpLine and Rfc2217Line do. */
export async function openTransport(
  path: string,
  options: LineOptions,
  context: DriverContext,
  events: TransportEvents,
): Promise<TransportOpened> {
  const opened = await openAny(path, options, context, events);
  if (opened.kind === 'skipped') return opened;
  try {
    for (const line of drivenLines) {
      const state = line === 'break' ? undefined : options[line];
      if (state === undefined) continue;
      if (!opened.transport.control) throw new DcsError('NOT_SUPPORTED', `${path} has no ${line.toUpperCase()} to set`);
      opened.transport.control.drive(line, state);
    }
  } catch (error) {
    await opened.transport.close();
    throw error;
  }
  return opened;
}

async function openAny(
  path: string,
  options: LineOptions,
  context: DriverContext,
  events: TransportEvents,
): Promise<TransportOpened> {
  const { line, flow, hupcl, low_latency } = options;
  const network = networkPath(path);
  if (!network) return await Tty.open({ path, line, flow, hupcl, lowLatency: low_latency }, context, events);
  const { scheme, remote } = network;
  const transport =
    scheme === 'tcp'
      ? await ReopeningLine.open(remote, context.clock, events, (name) => context.count(name))
      : await Rfc2217Line.open(remote, line, flow, context.clock, events);
  return { kind: 'transport', transport };
}
