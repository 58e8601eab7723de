import type { Channel, Driver, OpenResult, PortContext } from '../../src/driver/contract.ts';
import { detectSerialPorts, serialAccess, usbName } from '../../src/driver/kit/serial-ports.ts';
import type { DcsError } from '../../src/errors/errors.ts';
import { addressSchema, describeAddress, type ModbusAddress, spanOf } from './address.ts';
import { Heartbeat, type HeartbeatSpec } from './heartbeat.ts';
import { type ModbusOptions, optionsSchema } from './options.ts';
import { ModbusPort } from './port.ts';
import type { TableSpan } from './protocol/request.ts';
import { collectQuirks } from './quirks.ts';
import { estimate, review } from './review.ts';
import { modbusServer } from './server/serve.ts';
import { lineTiming, ResponseDelays } from './transport/line-timing.ts';
import { openTransport } from './transport/open.ts';
import type { TransportEvents } from './transport/transport.ts';

/** Modbus master: coils, discrete inputs, holding and input registers of the units on one bus. */
export const modbus: Driver<ModbusOptions, ModbusAddress> = {
  contract: 1,
  name: 'modbus',
  summary: 'Modbus devices over TCP, UDP and serial lines (RTU, ASCII): coils, discrete inputs, registers',
  options: optionsSchema,
  pin: addressSchema,
  keyDirections: { verify: 'out', read: 'out', self_clearing: 'out', write: 'out' },
  describe: (address, options) => describeAddress(address, options),
  review,
  estimate,
  server: modbusServer,
  access: serialAccess,
  detect: () => detectSerialPorts((path) => ({ serial: path, line: '9600-8N1' })),
  claims: ({ link }) =>
    link.by !== 'serial' ? undefined : typeof link.device === 'string' ? link.device : `USB ${usbName(link.device)}`,
  open,
};

/** The registers or bits that a pin takes; two pins of one port overlap when these do. */
export function registersOf(address: ModbusAddress, options: ModbusOptions): TableSpan {
  return spanOf(address, options);
}

function startHeartbeat(port: ModbusPort, unit: number, spec: HeartbeatSpec, context: PortContext): void {
  const heartbeat = new Heartbeat(unit, spec, {
    clock: context.clock,
    run: (task) => port.run(task),
    count: (name) => context.count(name),
    attempt: () => port.attemptWrite(unit, `the watchdog of unit ${unit}`),
  });
  port.onDown(() => heartbeat.stop());
  heartbeat.start();
}

async function open(
  options: ModbusOptions,
  channels: readonly Channel<ModbusAddress>[],
  context: PortContext,
): Promise<OpenResult> {
  let port: ModbusPort | undefined;
  let early: DcsError | undefined;
  let handed = false;
  const events: TransportEvents = {
    count: (name, by) => context.count(name, by),
    unitReleased: () => port?.unitReleased(),
    reconnected: () => port?.reconnected(),
    down: (error) => {
      early = error;
      port?.down();
      if (handed) context.down(error);
    },
  };
  const quirks = collectQuirks(
    channels.map(({ address }) => ({ unit: address.unit ?? options.unit, quirks: address.quirks })),
  );
  const transport = await openTransport(options, quirks, context, events);
  if (typeof transport === 'string') return { kind: 'skipped', reason: transport };
  const timing = (unit: number) => lineTiming(quirks.get(unit)?.line ?? options.line);
  const responseDelays = options.link.by === 'serial' ? new ResponseDelays(timing) : undefined;
  port = new ModbusPort(transport, options, channels, context, responseDelays);
  try {
    await port.start();
    if (early) throw early;
  } catch (error) {
    await port.close();
    throw error;
  }
  for (const [unit, { heartbeat }] of quirks) {
    if (heartbeat) startHeartbeat(port, unit, heartbeat, context);
  }
  handed = true;
  return { kind: 'port', port };
}
