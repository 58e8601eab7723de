import type { Clock } from '../../src/clock/clock.ts';
import { systemClock } from '../../src/clock/clock.ts';
import type {
  Channel,
  Driver,
  HeldDescriptors,
  Port,
  PortContext,
  Reading,
  ReadingListener,
} from '../../src/driver/contract.ts';
import type { DcsError } from '../../src/errors/errors.ts';
import type { Log } from '../../src/log/log.ts';
import type { Direction, RawValue } from '../../src/pin/pin.ts';

/** A log that keeps its lines, so that a test can ask whether something was said. */
export function memoryLog(): Log & { lines: { level: string; detail: object; message: string }[] } {
  const lines: { level: string; detail: object; message: string }[] = [];
  const at = (level: string) => (detail: object, message: string) => {
    lines.push({ level, detail, message });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** What a test knows about an open port beside the port itself. */
export interface Held {
  readonly port: Port;
  readonly channels: readonly Channel[];
  readonly downs: DcsError[];
  readonly counters: Map<string, number>;
  readonly log: ReturnType<typeof memoryLog>;
  /** Calls the listener with the last reading of the channel, and then with every change. Returns the way to end that. */
  listen(channel: Channel, listener: ReadingListener): () => void;
}

/** A pin as a test describes it: its driver keys as a user would write them. */
export interface PinText {
  readonly keys: object;
  readonly direction: Direction;
  readonly start?: RawValue;
  readonly debounceMs?: number;
}

/** Opens a port as its owner in the agent does: schema first, then describe, then open. Throws when it is skipped. */
export async function openPort(
  driver: Driver,
  options: object,
  pins: readonly PinText[],
  clock: Clock = systemClock,
  inherited: readonly HeldDescriptors[] = [],
): Promise<Held> {
  const parsed = driver.options.parse(options);
  const channels = pins.map(({ keys, direction, start, debounceMs = 0 }, index): Channel => {
    const address = driver.pin.parse(keys);
    const facts = driver.describe(address, parsed);
    const key = facts.key ?? `pin-${index}`;
    const base = { key, kind: facts.kind, direction, address, debounceMs };
    return start === undefined ? base : { ...base, openingValue: start };
  });
  const downs: DcsError[] = [];
  const counters = new Map<string, number>();
  const log = memoryLog();
  const { changed, listen } = recordReadings();
  const context: PortContext = {
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
  };
  const opened = await driver.open(parsed, channels, context);
  if (opened.kind === 'skipped') throw new Error(`skipped: ${opened.reason}`);
  const { port } = opened;
  return { port, channels, downs, counters, log, listen };
}

/** Keeps what a port tells through its context, as the port's owner in the agent does. */
export function recordReadings(): Pick<PortContext, 'changed'> & Pick<Held, 'listen'> {
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
