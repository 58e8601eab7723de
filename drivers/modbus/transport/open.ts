import type { DriverContext } from '../../../src/driver/contract.ts';
import { openTcp, openUdp } from '../../../src/driver/kit/link.ts';
import { findUsb, listPorts } from '../../../src/driver/kit/serial-ports.ts';
import type { ModbusOptions, SerialDevice } from '../options.ts';
import { ReadAdapter } from '../pieces.ts';
import { ascii, rtu } from '../protocol/framing.ts';
import type { ReplyTolerance } from '../protocol/reply.ts';
import type { Quirks } from '../quirks.ts';
import { Connection } from './connection.ts';
import { lineTiming, noTiming } from './line-timing.ts';
import { LineTransport } from './line-transport.ts';
import { MbapTransport } from './mbap-transport.ts';
import { openSerial } from './serial-link.ts';
import type { OpenLink, Transport, TransportEvents, UnitSettings } from './transport.ts';

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
  const unit = (one: number) => unitSettings(options, quirks.get(one));
  const line = (one: number) => quirks.get(one)?.line ?? options.line;
  const transport =
    options.framing === 'tcp'
      ? new MbapTransport({ clock, unit, concurrency: options.in_flight, datagrams: link.by === 'udp' }, events)
      : new LineTransport(
          {
            clock,
            framing: options.framing === 'rtu' ? rtu : ascii,
            // A stream through a gateway has no echo.
            echo: link.by === 'serial' ? options.echo : 'off',
            turnaroundMs: options.turnaround,
            unit: (one) => ({ ...unit(one), timing: link.by === 'serial' ? lineTiming(line(one)) : noTiming }),
          },
          events,
        );
  let missing: string | undefined;
  const open: OpenLink = async (linkEvents) => {
    if (link.by === 'udp') return openUdp(link.target, linkEvents);
    if (link.by === 'tcp') {
      const { pause = 0, close_after } = options.connect ?? {};
      const settings = { clock, pauseMs: pause, closeAfter: close_after, count: (name: string) => events.count(name) };
      return Connection.open((one) => openTcp(link.target, clock, CONNECT_LIMIT_MS, one), settings, linkEvents);
    }
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
  };
  await transport.start(open);
  return missing ?? new ReadAdapter(clock, options, quirks).over(transport);
}

function unitSettings(options: ModbusOptions, quirks: Quirks | undefined): UnitSettings {
  return {
    timeoutMs: quirks?.timeout ?? options.timeout,
    pauseMs: quirks?.pause ?? options.pause,
    tolerates: { ...toleranceOf(options.quirks), ...toleranceOf(quirks) },
  };
}

/** The deviations of a device from the standard that its quirks allow. */
function toleranceOf(quirks: Partial<Quirks> | undefined): ReplyTolerance {
  return {
    ...(quirks?.transaction_id && { anyTransactionId: true }),
    ...(quirks?.unit_id && { anyUnit: true }),
    ...(quirks?.write_reply && { wholeEcho: true }),
  };
}
