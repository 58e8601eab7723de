import type { Clock, DurationMs } from '../../src/clock/clock.ts';
import type { LineSettings } from '../../src/driver/kit/schemas.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { Log } from '../../src/log/log.ts';
import { ModbusClient } from './client.ts';
import type { ModbusOptions } from './options.ts';
import { ModbusException } from './protocol/exception.ts';
import { lineTiming } from './transport/line-timing.ts';
import { UnmatchedReplyError } from './transport/transport.ts';

/** Exceptions by which a gateway answers for missing units (Modbus application protocol 1.1b3, section 7). */
const GATEWAY_SILENCE = [10, 11];
/** Characters of a read of one register, request and reply. */
const PROBE_CHARACTERS = 15;

/** A unit that has answered. */
export interface FoundUnit {
  readonly unit: number;
  /** The line settings at which it answered; `undefined` over a network. */
  readonly line: LineSettings | undefined;
  /** Vendor, product and revision, if the device tells them. */
  readonly identity: readonly string[];
  /** Why the find is doubtful: the answer is not that of one device with these line settings. */
  readonly doubt: string | undefined;
}

export interface ScanPlan {
  readonly options: ModbusOptions;
  readonly units: readonly number[];
  /** Line settings to try, most likely first. Unless `all`, the scan ends after the first with an answer. */
  readonly lines: readonly LineSettings[];
  readonly all: boolean;
}

export interface ScanObserver {
  found(unit: FoundUnit): void;
  /** Called before each probe. `leftMs`: time of the remaining probes if no unit answers. */
  progress(done: number, total: number, unit: number, line: LineSettings | undefined, leftMs: DurationMs): void;
  /** `true` ends the scan after the probe under way, so that no reply is left on the bus for the next master. */
  stopped(): boolean;
}

/** Common factory settings of devices, the most common first. */
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

/** Longest time of a probe that gets no answer. */
function probeTimeoutMs({ options }: ScanPlan, line: LineSettings | undefined): DurationMs {
  const wire = line ? PROBE_CHARACTERS * lineTiming(line).characterMs : 0;
  return options.timeout + wire + options.pause;
}

/** Asks every unit for its first register. Any answer, also a refusal, shows that the unit is there. */
export async function scanUnits(plan: ScanPlan, clock: Clock, log: Log, observer: ScanObserver): Promise<void> {
  const lines = plan.options.link.by === 'serial' ? plan.lines : [undefined];
  const total = lines.length * plan.units.length;
  const left = (from: number, unit: number) => {
    const rest = lines.slice(from).reduce((sum, line) => sum + probeTimeoutMs(plan, line) * plan.units.length, 0);
    return rest - unit * probeTimeoutMs(plan, lines[from]);
  };
  let answered = false;
  for (const [index, line] of lines.entries()) {
    if (observer.stopped() || (answered && !plan.all)) return;
    const client = await ModbusClient.open(line ? { ...plan.options, line } : plan.options, clock, log);
    try {
      const progress = (position: number, unit: number) =>
        observer.progress(index * plan.units.length + position, total, unit, line, left(index, position));
      if (await scanLine(plan, client, line, observer, progress)) answered = true;
    } finally {
      await client.close();
    }
  }
}

/** Scans all units with one line setting. Resolves with whether one answered without doubt. */
async function scanLine(
  { units }: ScanPlan,
  client: ModbusClient,
  line: LineSettings | undefined,
  observer: ScanObserver,
  progress: (position: number, unit: number) => void,
): Promise<boolean> {
  let answered = false;
  for (const [position, unit] of units.entries()) {
    if (observer.stopped()) break;
    progress(position, unit);
    const found = await probe(client, unit, line);
    if (!found) continue;
    answered ||= found.doubt === undefined;
    observer.found(found);
  }
  return answered;
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
    } else if (error instanceof UnmatchedReplyError) doubt = error.message;
    else if (error.code === 'TIMEOUT') return undefined;
    else doubt = `${error.message}: other line settings, or two devices with one address`;
  }
  return { unit, line, identity: doubt === undefined ? await identify(client, unit) : [], doubt };
}

/** 'Read device identification' (43/14), which few devices support. */
async function identify(client: ModbusClient, unit: number): Promise<string[]> {
  try {
    const data = await client.transact({ kind: 'identify', unit, level: 1, object: 0 });
    const texts: string[] = [];
    // The objects come after level, conformity, more, next and their number.
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
