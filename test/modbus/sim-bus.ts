import type { ModbusAddress } from '../../drivers/modbus/address.ts';
import { modbus } from '../../drivers/modbus/driver.ts';
import { ReadAdapter } from '../../drivers/modbus/pieces.ts';
import { ModbusPort } from '../../drivers/modbus/port.ts';
import { ascii, rtu } from '../../drivers/modbus/protocol/framing.ts';
import { collectQuirks } from '../../drivers/modbus/quirks.ts';
import { AsciiRequestReader, RtuRequestReader } from '../../drivers/modbus/server/line-server.ts';
import type { Store } from '../../drivers/modbus/server/respond.ts';
import { LineSlave } from '../../drivers/modbus/simulator/slaves.ts';
import { lineTiming, ResponseDelays } from '../../drivers/modbus/transport/line-timing.ts';
import type { EchoMode } from '../../drivers/modbus/transport/line-transaction.ts';
import { LineTransport } from '../../drivers/modbus/transport/line-transport.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel, PortContext } from '../../src/driver/contract.ts';
import type { LinkEvents } from '../../src/driver/kit/link.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { recordReadings } from '../support/ports.ts';
import { silentLog } from './owner.ts';

export interface SimBusOptions {
  readonly store: Store;
  readonly channels: readonly Channel<ModbusAddress>[];
  readonly baud?: number;
  readonly slaveMs?: number;
  readonly timeoutMs?: number;
  readonly pauseMs?: (unit: number) => number;
  readonly echo?: EchoMode;
  /** The adapter echoes. */
  readonly echoes?: boolean;
  readonly framing?: 'rtu' | 'ascii';
  readonly poll?: string;
  /** Further keys of the port. */
  readonly keys?: Readonly<Record<string, unknown>>;
  readonly units?: ReadonlySet<number>;
  readonly clock?: ManualClock;
  /** See PortContext. */
  readonly crashPlanChanged?: () => void;
  readonly log?: PortContext['log'];
}

/** The real stack from the port down to the frames, on a simulated line, in simulated time. */
export class SimBus {
  readonly clock: ManualClock;
  readonly counters = new Map<string, number>();
  readonly downs: DcsError[] = [];
  readonly slave: LineSlave;
  readonly port: ModbusPort;
  /** Time during which the line was busy with the slave's proper work, for the utilisation. */
  #events: LinkEvents | undefined;
  readonly #transport: LineTransport;
  readonly #readings = recordReadings();
  readonly #polls: boolean;
  /** Calls the listener with the last reading of a channel, and then with every change. */
  readonly listen = this.#readings.listen;

  constructor(options: SimBusOptions) {
    const { store, channels, baud = 19200, slaveMs = 2, timeoutMs = 100, echo = 'auto' } = options;
    this.clock = options.clock ?? new ManualClock();
    this.#polls = options.poll !== undefined;
    const clock = this.clock;
    const framing = options.framing === 'ascii' ? ascii : rtu;
    const timing = lineTiming({ baud, dataBits: 8, parity: 'none', stopBits: 1 });
    this.slave = new LineSlave({
      clock,
      framing,
      reader: options.framing === 'ascii' ? new AsciiRequestReader() : new RtuRequestReader(),
      timing,
      responseMs: slaveMs,
      store,
      echo: options.echoes ?? false,
      send: (bytes) => this.#events?.data(Buffer.from(bytes)),
      unplug: () => this.unplug(),
      ...(options.units ? { units: options.units } : {}),
    });
    const count = (name: string, by = 1) => {
      this.counters.set(name, (this.counters.get(name) ?? 0) + by);
    };
    const context: PortContext = {
      clock,
      log: options.log ?? silentLog,
      count,
      changed: this.#readings.changed,
      down: (error) => this.downs.push(error),
      ...(options.crashPlanChanged && { crashPlanChanged: options.crashPlanChanged }),
    };
    const unit = (one: number) => ({ timeoutMs, pauseMs: options.pauseMs?.(one) ?? 0, timing });
    this.#transport = new LineTransport(
      { clock, framing, echo, turnaroundMs: 100, unit },
      {
        count,
        unitReleased: () => this.port.unitReleased(),
        down: (error) => {
          this.port.down();
          context.down(error);
        },
      },
    );
    const keys = { serial: '/dev/null', poll: options.poll ?? '1h', timeout: `${timeoutMs}ms`, ...options.keys };
    const parsed = modbus.options.parse(keys);
    const quirks = collectQuirks(channels.map(({ address: { unit = 1, quirks } }) => ({ unit, quirks })));
    const transport = new ReadAdapter(clock, parsed, quirks).over(this.#transport);
    this.port = new ModbusPort(transport, parsed, channels, context, new ResponseDelays(() => timing));
  }

  /** Opens the line, and starts the port if it is to poll: without `poll` only what a test asks for is sent. */
  async open(): Promise<this> {
    await this.#transport.start(async (events) => {
      this.#events = events;
      return {
        send: (bytes) => {
          if (this.#events) this.slave.receive(bytes);
        },
        close: async () => {
          this.#events = undefined;
        },
      };
    });
    if (this.#polls) await this.settle(this.port.start());
    return this;
  }

  unplug(): void {
    const events = this.#events;
    this.#events = undefined;
    events?.down(new DcsError('PORT_DOWN', 'unplugged'));
  }

  /** Lets time pass until a promise has settled. */
  async settle<T>(work: Promise<T>, step = 5): Promise<T> {
    let over = false;
    const end = () => {
      over = true;
    };
    work.then(end, end);
    await new Promise((resolve) => setImmediate(resolve));
    while (!over) await this.clock.advance(step);
    return work;
  }
}

/** A small generator of its own, so that a failing run can be repeated: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
