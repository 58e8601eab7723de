import type { Channel, Driver, Opened, PortContext } from '../../src/driver/driver.ts';
import type { DcsError } from '../../src/errors/errors.ts';
import { addressSchema, describeAddress, type ModbusAddress, spanOf } from './address.ts';
import { type ModbusOptions, optionsSchema } from './options.ts';
import { ModbusPort, tcpLimits } from './port.ts';
import type { Span } from './protocol/request.ts';
import { MbapTransport } from './transport/mbap-transport.ts';
import { openTcp } from './transport/tcp-link.ts';
import type { TransportEvents } from './transport/transport.ts';

const CONNECT_LIMIT_MS = 2000;

/** Modbus master: coils, discrete inputs, holding and input registers of the units on one bus. */
export const modbus: Driver<ModbusOptions, ModbusAddress> = {
  name: 'modbus',
  summary: 'Modbus devices: coils, discrete inputs, holding and input registers over Modbus TCP',
  options: optionsSchema,
  pin: addressSchema,
  describe: (address, options) => describeAddress(address, options),
  open,
};

/** The run of the device's table that a pin takes; two pins of one port overlap when their runs do. */
export function registersOf(address: ModbusAddress, options: ModbusOptions): Span {
  return spanOf(address, options);
}

async function open(
  options: ModbusOptions,
  channels: readonly Channel<ModbusAddress>[],
  context: PortContext,
): Promise<Opened> {
  let port: ModbusPort | undefined;
  let early: DcsError | undefined;
  const events: TransportEvents = {
    count: (name, by) => context.count(name, by),
    freed: () => port?.freed(),
    down: (error) => {
      early = error;
      if (!port) return;
      port.down();
      if (handed) context.down(error);
    },
  };
  let handed = false;
  const { clock } = context;
  const transport = new MbapTransport(
    { clock, timeoutMs: options.timeout, concurrency: options.in_flight, datagrams: false },
    events,
  );
  await transport.start((linkEvents) => openTcp(options.tcp, clock, CONNECT_LIMIT_MS, linkEvents));
  port = new ModbusPort(transport, tcpLimits(options.max_gap), options, channels, context);
  try {
    await port.start();
    if (early) throw early;
  } catch (error) {
    await port.close();
    throw error;
  }
  handed = true;
  return { kind: 'port', port };
}
