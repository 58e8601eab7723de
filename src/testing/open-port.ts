import { type Clock, systemClock } from '../clock/clock.ts';
import type {
  Channel,
  Driver,
  HeldDescriptors,
  Port,
  PortContext,
  Reading,
  ReadingListener,
} from '../driver/contract.ts';
import { DcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { Direction, RawValue } from '../pin/pin.ts';

/** A line of the log. */
export interface LogLine {
  /** `debug`, `info`, `warn` or `error`. */
  readonly level: string;
  /** Fields of the line, such as the port and the error. */
  readonly detail: object;
  /** Text of the line. */
  readonly message: string;
}

/** A log that keeps its lines. */
export function memoryLog(): Log & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (detail: object, message: string) => {
    lines.push({ level, detail, message });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** An open port, and everything it has told its owner. */
export interface OpenedPort {
  /** The port that the driver opened. */
  readonly port: Port;
  /** Its channels, in the order of the pins. */
  readonly channels: readonly Channel[];
  /** The errors of every call of `context.down`. */
  readonly downs: DcsError[];
  /** The sums of `context.count`. */
  readonly counters: Map<string, number>;
  /** Log of the port. */
  readonly log: ReturnType<typeof memoryLog>;
  /** Calls the listener with the last reading of the channel, then with every change. Returns the function that ends this. */
  listen(channel: Channel, listener: ReadingListener): () => void;
}

/** A pin of a test: its driver keys as a user writes them. */
export interface PinKeys {
  /** The driver keys. */
  readonly keys: object;
  /** Whether the pin is an input or an output. */
  readonly direction: Direction;
  /** Channel.openingValue */
  readonly start?: RawValue;
  /** Channel.debounceMs; 0 when `undefined`. */
  readonly debounceMs?: number;
  /** Channel.uom */
  readonly uom?: string;
}

/** Opens a port as the agent does: schemas, `describe`, `open`. Rejects with PORT_SKIPPED when the driver skips it. */
export async function openPort(
  driver: Driver,
  options: object,
  pins: readonly PinKeys[],
  clock: Clock = systemClock,
  inherited: readonly HeldDescriptors[] = [],
): Promise<OpenedPort> {
  const parsed = driver.options.parse(options);
  const channels = pins.map(({ keys, direction, start, debounceMs = 0, uom }, index): Channel => {
    const address = driver.pin.parse(keys);
    const { key = `pin-${index}`, kind } = driver.describe(address, parsed);
    const stated = { ...(start !== undefined && { openingValue: start }), ...(uom !== undefined && { uom }) };
    return { key, kind, direction, address, debounceMs, ...stated };
  });
  const downs: DcsError[] = [];
  const counters = new Map<string, number>();
  const log = memoryLog();
  const { changed, listen } = recordReadings();
  const opened = await driver.open(parsed, channels, {
    clock,
    log,
    changed,
    down: (error) => {
      downs.push(error);
    },
    reclaim: async () => inherited,
    count: (name, by = 1) => {
      counters.set(name, (counters.get(name) ?? 0) + by);
    },
  });
  if (opened.kind === 'skipped') throw new DcsError('PORT_SKIPPED', `skipped: ${opened.reason}`);
  const { port } = opened;
  return { port, channels, downs, counters, log, listen };
}

/** Keeps the last reading of each channel, as the agent does with what a port tells through its context. */
export function recordReadings(): Pick<PortContext, 'changed'> & Pick<OpenedPort, 'listen'> {
  const last = new Map<string, Reading>();
  const listeners = new Map<string, Set<ReadingListener>>();
  return {
    changed({ key }, reading) {
      last.set(key, reading);
      for (const listener of listeners.get(key) ?? []) listener(reading);
    },
    listen({ key }, listener) {
      const own: ReadingListener = (reading) => listener(reading);
      const all = listeners.get(key) ?? new Set();
      listeners.set(key, all.add(own));
      const reading = last.get(key);
      if (reading) own(reading);
      return () => {
        all.delete(own);
      };
    },
  };
}
