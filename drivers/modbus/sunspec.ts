import { type Clock, type DurationMs, type MonotonicMs, sleep, type Timer } from '../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import { type ModbusAddress, readSpanOf, spanOf } from './address.ts';
import type { PointPlace, PolledChannel } from './polled-channel.ts';
import type { Request } from './protocol/request.ts';
import { orNotSent } from './send-write.ts';
import {
  BASES,
  type ChainReader,
  ChainWalker,
  HEAD_REGISTERS,
  headMistake,
  type ModelPlace,
  readHead,
} from './sunspec-chain.ts';
import type { ModbusTask, ModbusTransact } from './transport/transport.ts';

const WALK_TTL_MS = 10_000;
/** Wait after a walk that got no answer, and after one that was silent at a base beside others. */
const RETRY_MS: DurationMs = 3000;
const NEXT_BASE_MS: DurationMs = 500;
/** Longest wait after a walk without answer, and the share of the bus that such walks may take. */
const MAX_RETRY_MS: DurationMs = 10_000;
const SILENT_SHARE = 0.08;
/** A model that the device does not have is looked for again after this time, and later after a quarter of the time it is missing. */
const MISSING_MS: DurationMs = 3000;
const MAX_MISSING_MS: DurationMs = 60_000;
/** Waits between walks that find everything where it was: after a lost reply or a new connection, and after a strange head. */
const UNCHANGED_MS: DurationMs = 1000;
const MAX_UNCHANGED_MS: DurationMs = 600_000;
const MAX_MOVED_MS: DurationMs = 30_000;
/** Requests without answer that one walk may have. */
const PATIENCE = 8;
/** Walks without answer in a row after which the values from before count no more. */
const FAILED_WALKS = 2;

/** The bus that SunSpec devices are on. */
export interface SunSpecBus {
  readonly clock: Clock;
  run<Result>(task: ModbusTask<Result>): Promise<Result>;
  /** Sends a request from within a task; silence is not held against the unit. */
  probe: ModbusTransact;
  /** When a unit may be asked again; see BusTransport.freeAt. */
  freeAt(unit: number): MonotonicMs;
  /** Whether the unit counts as lost. */
  isOffline(unit: number): boolean;
  /** The points of a unit may be read; `changed`: some of them at other addresses than before. */
  confirmed(unit: number, changed: boolean): void;
  /** Whether the port is closed or down. */
  ended(): boolean;
}

/** Returns where one of the addresses of a point is among these models, or the reason why it is nowhere. */
export function findPoint(wanted: ModbusAddress, models: readonly ModelPlace[]): PointPlace | DcsError {
  const reasons: string[] = [];
  for (const address of [wanted, ...wanted.alternatives]) {
    const { model, instance } = address;
    const place = models.filter((one) => one.model === model)[instance - 1];
    const nth = instance > 1 ? ` number ${instance}` : '';
    if (!place) {
      reasons.push(`no SunSpec model ${model}${nth}`);
      continue;
    }
    const spans = [readSpanOf(address, { unit: 1 }), spanOf(address, { unit: 1 })];
    const last = Math.max(...spans.map(({ first, count }) => first + count - 1));
    if (last < HEAD_REGISTERS + place.length) return { place, address };
    reasons.push(`SunSpec model ${model}${nth} with ${place.length} registers only, none of them at ${last}`);
  }
  return new DcsError('NO_SUCH_CHANNEL', `the device has ${reasons.join(' and ')}`);
}

/** Finds a point without what was learned before, but with a guess where it was. Rejects when the device does not have it. */
export async function locatePoint(
  reader: ChainReader,
  walker: ChainWalker,
  point: PolledChannel,
  guess: PointPlace | undefined,
): Promise<void> {
  const { address } = point.channel;
  const head = guess && (await readHead(reader, guess.place.at));
  if (guess && head && !headMistake(guess.place, head)) {
    point.locate(guess);
    return;
  }
  const found = findPoint(address, await walker.walk(reader, (models) => hasFirstChoice(address, models)));
  if (found instanceof DcsError) throw found;
  point.locate(found);
}

/** Returns whether these models hold the first choice of a point, so that no later model can matter to it. */
function hasFirstChoice({ model, instance }: ModbusAddress, models: readonly ModelPlace[]): boolean {
  return models.filter((one) => one.model === model).length >= instance;
}

/**
 * Knows where one unit has the models of its SunSpec points. What it knows does not outlive an absence: after one the chain is
 * walked again before anything is read as good or written. Each read takes the model's id and length along, so that a chain
 * that has moved unnoticed makes its points bad at once.
 */
export class SunSpecUnit {
  readonly #bus: SunSpecBus;
  readonly #unit: number;
  readonly #points: readonly PolledChannel[];
  readonly #walker = new ChainWalker();
  /** Points that the device does not have, and why. */
  readonly #absent = new Map<PolledChannel, DcsError>();
  /** The places must be confirmed by a walk before they are used. */
  #doubted = true;
  /** Number of walks under way: a write may walk while the unit's own walk waits. */
  #walking = 0;
  /** The unit's own walk, while it is under way. */
  #ownWalk: Promise<void> | undefined;
  /** Number of walks that have ended with a result. */
  #results = 0;
  /** No answer since the last one. */
  #silent = false;
  #queued = false;
  #timer: Timer | undefined;
  /** Walks in a row that found everything where it was, and the time of the last. */
  #unchanged = 0;
  #walkedAt: MonotonicMs = 0;
  #failedWalks = 0;
  #missingSince: MonotonicMs | undefined;

  constructor(bus: SunSpecBus, unit: number, points: readonly PolledChannel[]) {
    this.#bus = bus;
    this.#unit = unit;
    this.#points = points;
    for (const point of points) point.guardWith(this);
  }

  /** Values read now must not be believed. */
  get doubted(): boolean {
    return this.#doubted;
  }

  start(): void {
    this.#request();
  }

  /** A request of the unit got no answer. */
  silent(): void {
    this.#silent = true;
  }

  /** The unit answers; `wasOffline`: it has been away. Called before the reply is used. */
  answered(wasOffline: boolean): void {
    const wasSilent = this.#silent;
    this.#silent = false;
    if (this.#walking > 0) return;
    if (!wasOffline) {
      if (wasSilent) this.doubt();
      return;
    }
    this.#unchanged = 0;
    this.#missingSince = undefined;
    this.#doubted = true;
    this.#request();
  }

  /**
   * The unit may have been away: a request got no answer, or the device has closed the connection. Walks that find nothing
   * new become ever rarer; in between the ids and lengths in the reads have to do.
   */
  doubt(): void {
    if (this.#walking > 0 || this.#doubted || this.#restMs(MAX_UNCHANGED_MS) > 0) return;
    this.#doubted = true;
    this.#request();
  }

  /** A read has found something else where a model begins. */
  moved(error: DcsError): void {
    for (const point of this.#points) if (point.located) point.fail(error);
    this.#doubted = true;
    this.#later(this.#restMs(MAX_MOVED_MS));
  }

  /** Resolves when the places are confirmed. Rejects when the unit cannot be asked. */
  async settled(): Promise<void> {
    if (!this.#doubted) return;
    await this.#walkAlone();
  }

  /**
   * Confirms the place of a point in the task that is about to write it. Rejects with NO_SUCH_CHANNEL when the device does not
   * have the point; nothing has been written then.
   */
  async confirm(transact: ModbusTransact, point: PolledChannel): Promise<void> {
    const { place } = point;
    if (!this.#doubted && place) {
      const head = await orNotSent(readHead({ unit: this.#unit, transact }, place.at));
      const mistake = headMistake(place, head);
      if (mistake) this.moved(mistake);
    }
    // The read may have shown a new connection.
    if (this.#doubted || !point.located) await orNotSent(this.#walk(this.#within(transact)));
    const absence = this.#absent.get(point);
    if (absence) throw absence;
  }

  end(): void {
    this.#timer?.cancel();
  }

  /** Time until the next walk may be made without need. */
  #restMs(longest: DurationMs): DurationMs {
    if (this.#unchanged === 0) return 0;
    const wait = Math.min(UNCHANGED_MS * 2 ** this.#unchanged, longest);
    return Math.max(0, this.#walkedAt + wait - this.#bus.clock.now());
  }

  #later(wait: DurationMs): void {
    this.#timer?.cancel();
    this.#timer = this.#bus.clock.after(wait, () => this.#request());
  }

  /** Walks outside of any task: each request is a task of its own, so that the bus serves others while the unit must not be asked. */
  #walkAlone(): Promise<void> {
    const { clock, freeAt, isOffline, ended, probe, run } = this.#bus;
    const through = (send: (transact: ModbusTransact, request: Request) => Promise<Buffer>) => (request: Request) =>
      run({ lane: 'demand', unit: this.#unit, ttlMs: WALK_TTL_MS, work: (transact) => send(transact, request) });
    const mayAsk = () => !ended() && !isOffline(this.#unit);
    let tries = 0;
    const tryAgain = async () => {
      if (++tries >= PATIENCE || !mayAsk()) return false;
      await sleep(clock, Math.max(0, freeAt(this.#unit) - clock.now()));
      return true;
    };
    this.#ownWalk ??= this.#walk({
      unit: this.#unit,
      transact: through((transact, request) => transact(request)),
      probe: through((_, request) => probe(request)),
      tryAgain,
      mayAsk,
    }).finally(() => {
      this.#ownWalk = undefined;
    });
    return this.#ownWalk;
  }

  /** Asks within a task, which must not wait: it holds the bus. */
  #within(transact: ModbusTransact): ChainReader {
    const { clock, freeAt, probe } = this.#bus;
    const mayAsk = () => freeAt(this.#unit) <= clock.now();
    let tries = 0;
    return { unit: this.#unit, transact, probe, mayAsk, tryAgain: async () => ++tries < PATIENCE && mayAsk() };
  }

  #request(): void {
    this.#timer?.cancel();
    if (this.#queued || this.#bus.ended()) return;
    this.#queued = true;
    const began = this.#bus.clock.now();
    this.#walkAlone().then(
      () => {
        this.#queued = false;
      },
      (thrown: unknown) => {
        this.#queued = false;
        if (!this.#bus.ended()) this.#walkFailed(toDcsError(thrown), this.#bus.clock.now() - began);
      },
    );
  }

  #walkFailed(error: DcsError, tookMs: DurationMs): void {
    const asked = error.code !== 'PORT_DOWN' && error.code !== 'EXPIRED';
    if (asked) this.#failedWalks++;
    for (const point of this.#points) {
      if (point.neverRead || (asked && (!point.located || this.#failedWalks >= FAILED_WALKS))) point.fail(error);
    }
    const retry = Math.max(RETRY_MS, Math.min(MAX_RETRY_MS, tookMs / SILENT_SHARE));
    this.#later(asked && this.#failedWalks < BASES.length ? NEXT_BASE_MS : retry);
  }

  async #walk(reader: ChainReader): Promise<void> {
    const enough = (models: readonly ModelPlace[]) =>
      this.#points.every(({ channel }) => hasFirstChoice(channel.address, models));
    const before = this.#results;
    this.#walking++;
    try {
      const models = await orNoChain(this.#walker.walk(reader, enough));
      // Another walk that has ended meanwhile knows more.
      if (this.#results === before) this.#apply(models);
    } finally {
      this.#walking--;
      this.#walkedAt = this.#bus.clock.now();
    }
  }

  /** An error: the device has no chain. */
  #apply(models: readonly ModelPlace[] | DcsError): void {
    this.#results++;
    const wasDoubted = this.#doubted;
    let changed = false;
    for (const point of this.#points) {
      const found = models instanceof DcsError ? models : findPoint(point.channel.address, models);
      const missing = found instanceof DcsError;
      if (point.locate(missing ? undefined : found)) changed = true;
      this.#absent.delete(point);
      if (!missing) continue;
      this.#absent.set(point, found);
      point.fail(found);
    }
    this.#doubted = false;
    this.#failedWalks = 0;
    if (changed) {
      this.#unchanged = 0;
      this.#missingSince = undefined;
    } else if (wasDoubted) this.#unchanged++;
    if (this.#absent.size > 0) {
      const now = this.#bus.clock.now();
      this.#missingSince ??= now;
      this.#later(Math.max(MISSING_MS, Math.min((now - this.#missingSince) / 4, MAX_MISSING_MS)));
    }
    if (changed || wasDoubted) this.#bus.confirmed(this.#unit, changed);
  }
}

/** Returns the error that says that the device has no chain. */
async function orNoChain(models: Promise<ModelPlace[]>): Promise<ModelPlace[] | DcsError> {
  try {
    return await models;
  } catch (thrown) {
    const error = toDcsError(thrown);
    if (error.code !== 'NO_SUCH_CHANNEL') throw error;
    return error;
  }
}
