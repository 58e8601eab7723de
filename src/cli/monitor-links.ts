import { serial } from '../../drivers/serial/driver.ts';
import { systemClock, type UnixSeconds } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import { PortRunner } from '../io/port-runner.ts';
import { isRecord } from '../message/envelope.ts';
import { BusClient, busEndpoint } from './bus-client.ts';
import { complaint } from './complaint.ts';
import { CliError, exitCodes } from './exit.ts';

/** What a link tells a monitor. */
export interface MonitorSink {
  /** Bytes came in as they are: line ends are among them. */
  bytes(bytes: Buffer, unix: UnixSeconds): void;
  /** A whole frame came in, or somebody else sent one; its line end has been taken off. */
  frame(bytes: Buffer, unix: UnixSeconds, way: 'in' | 'out'): void;
  /** Something a person should know: the port is open, it is gone. */
  note(text: string): void;
}

/** A way to a device that lasts longer than the device's connection. */
export interface MonitorLink {
  /** Rejects with PORT_DOWN while the device is away: nothing is sent later. */
  send(bytes: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** Opens a port of this machine or of the network, and again whenever it is lost. */
export async function openDirect(options: object, sink: MonitorSink): Promise<MonitorLink> {
  const parsed = serial.options.safeParse({ ...options, framing: 'raw' });
  if (!parsed.success) {
    throw new CliError(exitCodes.wrongUse, complaint(parsed.error));
  }
  const say = (detail: object, message: string) => {
    sink.note(message);
    if ('code' in detail && detail.code === 'BUSY') {
      sink.note('is it a running agent? The name of its port instead of the path joins it');
    }
  };
  const log = { debug() {}, info: say, warn: say, error: say };
  const { path = '' } = parsed.data;
  const runner = new PortRunner(path, serial, parsed.data, [], { clock: systemClock, log });
  runner.onStream((stream) => stream.onFrame((bytes, unix) => sink.bytes(Buffer.from(bytes), unix)));
  await runner.start();
  if (runner.state !== 'open') sink.note('waiting for it; Ctrl-C ends this');
  return {
    async send(bytes) {
      if (!runner.stream) throw new DcsError('NOT_SUPPORTED', `${path} takes no bytes`);
      await runner.stream.send(bytes);
    },
    close: () => runner.stop(),
  };
}

/** Joins the traffic of a port that a running agent holds. Rejects with TIMEOUT when there is no agent. */
export async function attach(
  port: string,
  options: { readonly bus?: string; readonly timeout: number },
  sink: MonitorSink,
): Promise<MonitorLink> {
  const client = new BusClient(busEndpoint(options.bus));
  client.actor.on('SerialPortMessage', (data, { timestamp }) => {
    if (!isRecord(data) || data['port'] !== port || typeof data['data'] !== 'string') return;
    // An answer to a command is no traffic.
    if (data['reply_to'] !== undefined) return;
    const bytes = Buffer.from(data['data'], data['encoding'] === 'base64' ? 'base64' : 'utf8');
    const { source_time: unix = timestamp } = data;
    const way = data['source_time'] === undefined ? 'out' : 'in';
    sink.frame(bytes, typeof unix === 'number' ? unix : Date.now() / 1000, way);
  });
  await client.connect(options.timeout).catch(async (error: unknown) => {
    await client.close();
    throw error;
  });
  sink.note(`attached to ${port} through the agent`);
  return {
    async send(bytes) {
      const message = { port, data: bytes.toString('base64'), encoding: 'base64' };
      await client.actor.request({ SerialPortMessage: message }, { timeoutMs: options.timeout });
    },
    close: () => client.close(),
  };
}
