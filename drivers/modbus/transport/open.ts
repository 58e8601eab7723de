import type { DriverContext } from '../../../src/driver/contract.ts';
import { type Link, type LinkEvents, openTcp, openUdp } from '../../../src/driver/kit/link.ts';
import { findUsb, listPorts } from '../../../src/driver/kit/serial-ports.ts';
import type { ModbusOptions, SerialDevice } from '../options.ts';
import { ReadAdapter } from '../pieces.ts';
import { ascii, rtu } from '../protocol/framing.ts';
import type { Quirks } from '../quirks.ts';
import { lineTiming, noTiming } from './line-timing.ts';
import { LineTransport } from './line-transport.ts';
import { MbapTransport } from './mbap-transport.ts';
import { openSerial } from './serial-link.ts';
import type { Transport, TransportEvents } from './transport.ts';

const CONNECT_LIMIT_MS = 2000;

/** The path to open now: an adapter with USB ids may get another path each time it is plugged in. */
export function pathOf(device: SerialDevice): string {
  return typeof device === 'string' ? device : findUsb(device, listPorts());
}

/**
 * Opens the link to the devices. Resolves with the reason as text when this machine has none. Rejects as the link does.
 */
export async function openTransport(
  options: ModbusOptions,
  quirks: ReadonlyMap<number, Quirks>,
  context: DriverContext,
  events: TransportEvents,
): Promise<Transport | string> {
  const { clock } = context;
  const { link } = options;
  const timeout = (unit: number) => quirks.get(unit)?.timeout ?? options.timeout;
  const line = (unit: number) => quirks.get(unit)?.line ?? options.line;
  const transport =
    options.framing === 'tcp'
      ? new MbapTransport({ clock, timeout, concurrency: options.in_flight, datagrams: link.by === 'udp' }, events)
      : new LineTransport(
          {
            clock,
            framing: options.framing === 'rtu' ? rtu : ascii,
            // A stream through a gateway has no echo.
            echo: link.by === 'serial' ? options.echo : 'off',
            turnaroundMs: options.turnaround,
            unit: (unit) => ({
              timeoutMs: timeout(unit),
              pauseMs: quirks.get(unit)?.pause ?? options.pause,
              timing: link.by === 'serial' ? lineTiming(line(unit)) : noTiming,
            }),
          },
          events,
        );
  let missing: string | undefined;
  await transport.start(async (linkEvents: LinkEvents): Promise<Link> => {
    if (link.by === 'tcp') return openTcp(link.target, clock, CONNECT_LIMIT_MS, linkEvents);
    if (link.by === 'udp') return openUdp(link.target, linkEvents);
    const settings = {
      path: pathOf(link.device),
      line,
      first: options.line,
      rs485: options.rs485,
      warn: (message: string) => context.log.warn({}, message),
    };
    const opened = await openSerial(settings, clock, linkEvents);
    if (typeof opened !== 'string') return opened;
    missing = opened;
    return { send: () => undefined, close: () => Promise.resolve() };
  });
  return missing ?? new ReadAdapter(clock, options, quirks).over(transport);
}
