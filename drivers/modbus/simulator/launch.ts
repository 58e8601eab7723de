import { type Clock, sleep } from '../../../src/clock/clock.ts';
import { ascii } from '../protocol/ascii.ts';
import { rtu } from '../protocol/rtu.ts';
import { answer } from '../server/answer.ts';
import { AsciiRequestReader, RtuRequestReader } from '../server/request-reader.ts';
import { ModbusTcpServer } from '../server/tcp-server.ts';
import { lineTiming } from '../transport/line-timing.ts';
import { LineSlave } from './line-slave.ts';
import { memoryOf, type Simulation, scriptOf } from './plan.ts';
import { Pty } from './pty.ts';

export interface Launched {
  /** Where it can be reached, as a person reads it. */
  readonly places: readonly string[];
  close(): Promise<void>;
}

const MAX_CLIENTS = 32;

/** Starts simulated devices. Rejects when an address or a name cannot be had. */
export async function launch(plan: Simulation, clock: Clock, count: (name: string) => void): Promise<Launched> {
  const store = memoryOf(plan, clock);
  const units = new Set(Object.keys(plan.units).map(Number));
  const script = scriptOf(plan);
  const closers: (() => Promise<void> | void)[] = [];
  const places: string[] = [];
  const close = async () => {
    for (const end of closers) await end();
  };
  try {
    if (plan.tcp) {
      let heard = 0;
      const respond = async (unit: number, pdu: Buffer) => {
        const fault = script({ unit, pdu, size: pdu.length }, heard++);
        count(fault ? `requests, ${fault.kind}` : 'requests');
        await sleep(clock, plan.delay + (fault?.kind === 'late' ? fault.ms : 0));
        if (!units.has(unit)) return undefined;
        if (fault?.kind === 'exception') return Buffer.from([(pdu[0] ?? 0) | 0x80, fault.code]);
        if (fault?.kind === 'other-reply') return fault.pdu;
        // What else may go wrong with a frame on a line would here be the business of TCP: no answer comes.
        return fault === undefined || fault.kind === 'late' ? answer(store, unit, pdu) : undefined;
      };
      const server = new ModbusTcpServer({ ...plan.tcp, respond, maxClients: MAX_CLIENTS, count });
      const port = await server.listen();
      closers.push(() => server.close());
      places.push(`tcp:${plan.tcp.host}:${port}`);
    }
    if (plan.pty !== undefined) {
      const pty = await Pty.open(plan.pty, (bytes) => slave.receive(bytes));
      closers.push(() => pty.close());
      const slave = new LineSlave({
        clock,
        framing: plan.framing === 'rtu' ? rtu : ascii,
        reader: plan.framing === 'rtu' ? new RtuRequestReader() : new AsciiRequestReader(),
        timing: lineTiming(plan.line),
        slaveMs: plan.delay,
        store,
        units,
        echo: false,
        send: (bytes) => pty.send(Buffer.from(bytes)),
        unplug: () => count('breaks'),
      });
      slave.script = (request, index) => {
        const fault = script(request, index);
        count(fault ? `requests, ${fault.kind}` : 'requests');
        return fault;
      };
      places.push(`serial:${plan.pty}`);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { places, close };
}
