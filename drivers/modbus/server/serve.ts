import type {
  DriverContext,
  OpenServer,
  PinFacts,
  Port,
  ServedPins,
  ServerKind,
} from '../../../src/driver/contract.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { ModbusPort } from '../port.ts';
import { ascii, rtu } from '../protocol/framing.ts';
import { isWrite } from '../protocol/request.ts';
import { lineTiming } from '../transport/line-timing.ts';
import { pathOf } from '../transport/open.ts';
import { openSerial } from '../transport/serial-link.ts';
import { gatewayResponder } from './gateway.ts';
import { AsciiRequestReader, ModbusLineServer, RtuRequestReader } from './line-server.ts';
import { type ServerOptions, serverSchema } from './options.ts';
import { mapPins, PinStore } from './pin-store.ts';
import { ILLEGAL_FUNCTION, respondTo } from './respond.ts';
import { ModbusTcpServer, type Responder } from './tcp-server.ts';

const MAX_CLIENTS = 32;
/** A request of a gateway's client that has not been sent by then is refused: its master has given up. */
const GATEWAY_TTL_MS = 2000;

/** Shows pins as the coils and registers of a slave, or shares a port's devices. */
export const modbusServer: ServerKind<ServerOptions> = {
  options: serverSchema,
  needs: ({ coils = {}, discrete = {}, holding = {}, input = {}, gateway }) => ({
    pins: [
      ...Object.values(coils),
      ...Object.values(discrete),
      ...[...Object.values(holding), ...Object.values(input)].map(({ pin }) => pin),
    ],
    ports: gateway === undefined ? [] : [gateway],
  }),
  review: (options, facts) => mapPins(options, facts).mistakes,
  open,
};

async function open(
  options: ServerOptions,
  pins: ServedPins,
  facts: ReadonlyMap<string, PinFacts>,
  context: DriverContext,
): Promise<OpenServer> {
  const respond = responder(options, pins, facts);
  const { tcp, serial, usb, clients } = options;
  const { count } = context;
  if (tcp) {
    const server = new ModbusTcpServer({
      ...tcp,
      respond,
      maxClients: MAX_CLIENTS,
      count,
      ...(clients && { clients }),
    });
    await server.listen();
    return server;
  }
  const { clock, log } = context;
  const { line } = options;
  const framing = options.framing === 'rtu' ? rtu : ascii;
  const reader = options.framing === 'rtu' ? new RtuRequestReader() : new AsciiRequestReader();
  const server = new ModbusLineServer({ clock, framing, reader, timing: lineTiming(line), respond, count });
  const settings = {
    path: pathOf(serial ?? usb ?? ''),
    line: () => line,
    first: line,
    rs485: options.rs485,
    warn: (message: string) => log.warn({}, message),
  };
  await server.start(
    async (events) => {
      const opened = await openSerial(settings, clock, events);
      if (typeof opened === 'string') throw new DcsError('PORT_SKIPPED', opened);
      return opened;
    },
    (error) => context.down(error),
  );
  return server;
}

function responder(options: ServerOptions, pins: ServedPins, facts: ReadonlyMap<string, PinFacts>): Responder {
  const { gateway } = options;
  if (gateway !== undefined) {
    const share = gatewayResponder((request) => {
      const write = isWrite(request) || request.kind === 'raw';
      return modbusPort(pins.port(gateway), gateway).run({
        lane: write ? 'write' : 'demand',
        unit: request.unit,
        ttlMs: GATEWAY_TTL_MS,
        work: (ask) => ask(request),
      });
    });
    if (!options.read_only) return share;
    return async (unit, pdu) =>
      (pdu[0] ?? 0) <= 4 ? share(unit, pdu) : Buffer.from([(pdu[0] ?? 0) | 0x80, ILLEGAL_FUNCTION]);
  }
  const store = new PinStore(mapPins(options, facts).map, pins);
  // Over TCP the connection says which unit is meant; many masters leave the unit at 0, 1 or 255.
  const mine = (unit: number) => options.tcp !== undefined || unit === options.unit || unit === 0;
  return async (unit, pdu) => (mine(unit) ? respondTo(store, unit, pdu) : undefined);
}

function modbusPort(port: Port, name: string): ModbusPort {
  if (port instanceof ModbusPort) return port;
  throw new DcsError('PORT_DOWN', `port ${name} is no Modbus bus now`);
}
