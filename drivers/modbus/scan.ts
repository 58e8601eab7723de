import type { Clock, DurationMs } from '../../src/clock/clock.ts';
import type { LineSettings } from '../../src/driver/kit/schemas.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { Log } from '../../src/log/log.ts';
import { ModbusClient } from './client.ts';
import type { ModbusOptions } from './options.ts';
import { ModbusException } from './protocol/exception.ts';
import { lineTiming } from './transport/line-timing.ts';

/** Gateways answer for units that are not there (Modbus application protocol 1.1b3, section 7). */
const GATEWAY_SILENCE = [10, 11];
/** A read of one register, request and reply. */
const PROBE_CHARACTERS = 15;

/** A unit that answered. */
export interface FoundUnit {
  readonly unit: number;
  /** Serial lines: the settings at which it did. */
  readonly line: LineSettings | undefined;
  /** Vendor, product, revision, where it tells. */
  readonly identity: readonly string[];
  /** Why it is doubtful: something answers, but not as one device with these line settings would. */
  readonly doubt: string | undefined;
}

export interface ScanPlan {
  readonly options: ModbusOptions;
  readonly units: readonly number[];
  /** Settings to try, best guess first; those after the first at which a unit answered are left out unless `all`. */
  readonly lines: readonly LineSettings[];
  readonly all: boolean;
}

export interface ScanObserver {
  found(unit: FoundUnit): void;
  /** Before each question. `leftMs`: how long the rest takes if nobody answers. */
  progress(done: number, total: number, unit: number, line: LineSettings | undefined, leftMs: DurationMs): void;
  /** True ends the scan: what has been asked is waited for, so that no reply is left on the bus for the next master. */
  stopped(): boolean;
}

/** The usual settings of devices as they leave their factories, the commonest first. */
export function commonLineSettings(
  bauds: readonly number[] = [9600, 19_200, 38_400, 57_600, 115_200, 4800],
): LineSettings[] {
  const shapes = [
    { parity: 'none', stopBits: 1 },
    { parity: 'even', stopBits: 1 },
    { parity: 'none', stopBits: 2 },
    { parity: 'odd', stopBits: 1 },
  ] as const;
  return shapes.flatMap((shape) => bauds.map((baud) => ({ baud, dataBits: 8 as const, ...shape })));
}

/** How long a unit that is not there is waited for. */
function probeTimeoutMs({ options }: ScanPlan, line: LineSettings | undefined): DurationMs {
  const wire = line ? PROBE_CHARACTERS * lineTiming(line).characterMs : 0;
  return options.timeout + wire + options.pause;
}

/** Asks every unit for its first register: any answer, a refusal too, shows that it is there. */
export async function scanUnits(plan: ScanPlan, clock: Clock, log: Log, watcher: ScanObserver): Promise<void> {
  const serial = plan.options.way.by === 'serial';
  const lines = serial ? plan.lines : [undefined];
  const total = lines.length * plan.units.length;
  const left = (from: number, unit: number) => {
    const rest = lines.slice(from).reduce((sum, line) => sum + probeTimeoutMs(plan, line) * plan.units.length, 0);
    return rest - unit * probeTimeoutMs(plan, lines[from]);
  };
  let answered = false;
  for (const [index, line] of lines.entries()) {
    if (watcher.stopped() || (answered && !plan.all)) return;
    const client = await ModbusClient.open(line ? { ...plan.options, line } : plan.options, clock, log);
    try {
      for (const [position, unit] of plan.units.entries()) {
        if (watcher.stopped()) return;
        watcher.progress(index * plan.units.length + position, total, unit, line, left(index, position));
        const found = await probe(client, unit, line);
        if (!found) continue;
        answered ||= found.doubt === undefined;
        watcher.found(found);
      }
    } finally {
      await client.close();
    }
  }
}

async function probe(
  client: ModbusClient,
  unit: number,
  line: LineSettings | undefined,
): Promise<FoundUnit | undefined> {
  let doubt: string | undefined;
  try {
    await client.transact({ kind: 'read', unit, table: 'holding', first: 0, count: 1 });
  } catch (error) {
    if (!(error instanceof DcsError) || error.code === 'PORT_DOWN') throw error;
    if (error instanceof ModbusException) {
      if (GATEWAY_SILENCE.includes(error.exception)) return undefined;
    } else if (error.code === 'TIMEOUT') return undefined;
    else doubt = `${error.message}: other line settings, or two devices with one address`;
  }
  return { unit, line, identity: doubt === undefined ? await identify(client, unit) : [], doubt };
}

/** 'Read device identification', which few devices know. */
async function identify(client: ModbusClient, unit: number): Promise<string[]> {
  try {
    const data = await client.transact({ kind: 'identify', unit, level: 1, object: 0 });
    const texts: string[] = [];
    // After level, conformity, more, next and the number of objects.
    for (let at = 5; at + 2 <= data.length; ) {
      const length = data[at + 1] ?? 0;
      texts.push(data.toString('latin1', at + 2, at + 2 + length));
      at += 2 + length;
    }
    return texts;
  } catch (error) {
    if (error instanceof DcsError && error.code !== 'PORT_DOWN') return [];
    throw error;
  }
}
