import type { Clock, DurationMs, Timer } from '../../../src/clock/clock.ts';
import { ascii, rtu } from '../protocol/framing.ts';
import { AsciiRequestReader, RtuRequestReader } from '../server/line-server.ts';
import { lineTiming } from '../transport/line-timing.ts';
import type { FaultScript } from './faults.ts';
import type { SimulatedMemory } from './memory.ts';
import { Pty } from './pty.ts';
import { createFaultScript, createMemory, type Simulation } from './simulation.ts';
import { LineSlave, TcpSlave } from './slaves.ts';

export interface RunningSimulator {
  /** The address to reach it at, for people. */
  readonly places: readonly string[];
  close(): Promise<void>;
}

/** A line that broke in the middle of a reply is gone for this long. */
const BREAK_MS = 1000;

/** Common parts of the devices on a TCP port and those on a pty. */
interface Devices {
  readonly plan: Simulation;
  readonly clock: Clock;
  readonly store: SimulatedMemory;
  readonly units: ReadonlySet<number>;
  readonly script: FaultScript;
  count(name: string): void;
}

/** Starts simulated devices. Rejects when an address or a name is taken. */
export async function startSimulator(
  plan: Simulation,
  clock: Clock,
  count: (name: string) => void,
): Promise<RunningSimulator> {
  const faultOf = createFaultScript(plan);
  const devices: Devices = {
    plan,
    clock,
    count,
    store: createMemory(plan, clock),
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
  // Keep the port of the first start.
  let { port } = tcp;
  const plug: Pluggable = new Pluggable(
    clock,
    async () => {
      const unplug = (away: number) => plug.unplug(away);
      const { delay: slaveMs } = plan;
      const slave = new TcpSlave({ host: tcp.host, port, clock, responseMs: slaveMs, store, units, script, unplug });
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
        responseMs: plan.delay,
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

/** Makes a simulated device reachable; resolves with the function that ends it. */
type Connect = () => Promise<() => Promise<void> | void>;

/** Something that can be unplugged and comes back by itself. */
export class Pluggable {
  readonly #clock: Clock;
  readonly #plug: Connect;
  readonly #failed: (error: unknown) => void;
  #end: (() => Promise<void> | void) | undefined;
  #timer: Timer | undefined;
  #closed = false;

  /** `failed`: it could not be plugged in again because its address is taken; it tries again. */
  constructor(clock: Clock, plug: Connect, failed: (error: unknown) => void) {
    this.#clock = clock;
    this.#plug = plug;
    this.#failed = failed;
  }

  /** Rejects as `plug` does. */
  async start(): Promise<void> {
    this.#end = await this.#plug();
    if (this.#closed) await this.#disconnect();
  }

  unplug(away: DurationMs): void {
    if (this.#closed || !this.#end) return;
    const gone = this.#disconnect();
    const back = () => {
      gone
        .then(() => this.start())
        .catch((error: unknown) => {
          this.#failed(error);
          if (!this.#closed) this.#timer = this.#clock.after(away, back);
        });
    };
    this.#timer = this.#clock.after(away, back);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#disconnect();
  }

  async #disconnect(): Promise<void> {
    const end = this.#end;
    this.#end = undefined;
    await end?.();
  }
}
