import type { Clock } from '../../../src/clock/clock.ts';
import { ascii } from '../protocol/ascii.ts';
import { rtu } from '../protocol/rtu.ts';
import { AsciiRequestReader, RtuRequestReader } from '../server/request-reader.ts';
import { lineTiming } from '../transport/line-timing.ts';
import type { Script } from './fault.ts';
import { LineSlave } from './line-slave.ts';
import type { SimulatedMemory } from './memory.ts';
import { memoryOf, type Simulation, scriptOf } from './plan.ts';
import { Pluggable } from './pluggable.ts';
import { Pty } from './pty.ts';
import { TcpSlave } from './tcp-slave.ts';

export interface Launched {
  /** Where it can be reached, as a person reads it. */
  readonly places: readonly string[];
  close(): Promise<void>;
}

/** How long a line that broke in the middle of a reply is gone. */
const BREAK_MS = 1000;

/** What the devices on a TCP port and those on a pty have in common. */
interface Devices {
  readonly plan: Simulation;
  readonly clock: Clock;
  readonly store: SimulatedMemory;
  readonly units: ReadonlySet<number>;
  readonly script: Script;
  count(name: string): void;
}

/** Starts simulated devices. Rejects when an address or a name cannot be had. */
export async function launch(plan: Simulation, clock: Clock, count: (name: string) => void): Promise<Launched> {
  const faultOf = scriptOf(plan);
  const devices: Devices = {
    plan,
    clock,
    count,
    store: memoryOf(plan, clock),
    units: new Set(Object.keys(plan.units).map(Number)),
    script: (request, index) => {
      const fault = faultOf(request, index);
      count(fault ? `requests, ${fault.kind}` : 'requests');
      return fault;
    },
  };
  const plugs: Pluggable[] = [];
  const places: string[] = [];
  const close = async () => {
    for (const plug of plugs) await plug.close();
  };
  try {
    if (plan.tcp) {
      const { host } = plan.tcp;
      const { plug, port } = overTcp(devices, plan.tcp);
      plugs.push(plug);
      await plug.start();
      places.push(`tcp:${host}:${port()}`);
    }
    if (plan.pty !== undefined) {
      const plug = onPty(devices, plan.pty);
      plugs.push(plug);
      await plug.start();
      places.push(`serial:${plan.pty}`);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { places, close };
}

function overTcp({ plan, clock, store, units, script, count }: Devices, tcp: { host: string; port: number }) {
  // The port it was given the first time is its port.
  let { port } = tcp;
  const plug: Pluggable = new Pluggable(
    clock,
    async () => {
      const unplug = (away: number) => plug.unplug(away);
      const { delay: slaveMs } = plan;
      const slave = new TcpSlave({ host: tcp.host, port, clock, slaveMs, store, units, script, unplug });
      port = await slave.listen();
      return () => slave.close();
    },
    () => count('not plugged in again'),
  );
  return { plug, port: () => port };
}

function onPty({ plan, clock, store, units, script, count }: Devices, name: string): Pluggable {
  const plug: Pluggable = new Pluggable(
    clock,
    async () => {
      const pty = await Pty.open(name, (bytes) => slave.receive(bytes));
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
        unplug: (away = BREAK_MS) => plug.unplug(away),
      });
      slave.script = script;
      return () => pty.close();
    },
    () => count('not plugged in again'),
  );
  return plug;
}
