import type { Clock, DurationMs, MonotonicMs } from '../../src/clock/clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { type ModbusAddress, readSpanOf, registerFormat } from './address.ts';
import { isDivisible } from './protocol/exception.ts';
import {
  bitAt,
  describeRequest,
  isBitTable,
  type Piece,
  packBits,
  type ReadRequest,
  type Request,
  registerBytes,
  type TableSpan,
} from './protocol/request.ts';
import { type Quirks, readLimits } from './quirks.ts';
import { HEAD_REGISTERS } from './sunspec-chain.ts';
import type { Transport } from './transport/transport.ts';

/**
 * The runs of registers that a poll needs where they are not neighbours, counted from the first of its span, see pollSpanOf.
 * `undefined` for one run. That with the lowest digits comes last.
 */
export function piecesOf(address: ModbusAddress): Piece[] | undefined {
  const runs = ownPiecesOf(address);
  if (address.model === undefined) return runs;
  const { first, count } = readSpanOf(address, { unit: 1 });
  if (first <= HEAD_REGISTERS && !runs) return undefined;
  const own = (runs ?? [{ first: 0, count }]).map((run) => ({ ...run, first: run.first + first }));
  return [{ first: 0, count: HEAD_REGISTERS }, ...own];
}

/** The runs of registers that make a value, counted from the first of them. `undefined` for one run. */
function ownPiecesOf(address: ModbusAddress): Piece[] | undefined {
  const { own } = registerFormat(address) ?? {};
  if (!own) return undefined;
  const { scaleOffset = 0, order, words } = address;
  const leading = Math.max(0, -scaleOffset);
  const places = Array.from({ length: own.length / 2 }, (_, place) => place);
  const needed = places.filter((place) => own.readUInt16BE(2 * place) !== 0).map((place) => place + leading);
  if (address.scaleOffset !== undefined) needed.push(scaleOffset + leading);
  const runs: { first: number; count: number }[] = [];
  for (const place of needed.sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && place <= last.first + last.count) last.count = place + 1 - last.first;
    else runs.push({ first: place, count: 1 });
  }
  if (runs.length < 2) return undefined;
  const reversed = order === 'CDAB' || order === 'DCBA';
  const lowest = leading + ((reversed ? words?.[0] : words?.at(-1)) ?? 0);
  const isLast = ({ first, count }: Piece) => lowest >= first && lowest < first + count;
  return [...runs.filter((run) => !isLast(run)), ...runs.filter(isLast)];
}

/** Returns whether the registers from the first to the last piece may be asked for in one request. */
export function mayReadWhole(
  span: TableSpan,
  pieces: readonly Piece[],
  { max_gap }: { readonly max_gap?: number | undefined },
  quirks: Quirks | undefined,
): boolean {
  const { maxItems, merge, forbidden } = readLimits(span, 0, quirks);
  if (!merge || span.count > maxItems) return false;
  const gap = quirks?.max_gap ?? max_gap ?? Number.POSITIVE_INFINITY;
  const sorted = [...pieces].sort((a, b) => a.first - b.first);
  return sorted.every(({ first, count }, index) => {
    const [from, to] = [first + count, sorted[index + 1]?.first ?? first + count];
    return to - from <= gap && !forbidden.some(([low, high]) => low < to && high >= from);
  });
}

/** A read that the device refused as a whole is tried whole again after this time, then after twice as long, and so on. */
const FIRST_RETRY_MS: DurationMs = 10_000;
const MAX_RETRY_MS: DurationMs = 300_000;
/** The pieces are read again this often when they change meanwhile. */
const MAX_READS = 3;
const ADDRESSES = 0x10000;

type Send = (request: Request) => Promise<Buffer>;

/**
 * Reads as the devices want it: in one request where the device lets it, else in pieces, and never less than the fewest
 * registers that it takes. Pieces are read one after the other and all but the last once more: a value is made only of
 * registers that did not change meanwhile.
 */
export class ReadAdapter {
  readonly #clock: Clock;
  readonly #options: { readonly max_gap?: number | undefined };
  readonly #quirks: ReadonlyMap<number, Quirks>;
  /** Reads that the device refused as a whole. */
  readonly #refused = new Map<string, { readonly until: MonotonicMs; readonly waitMs: DurationMs }>();

  constructor(clock: Clock, options: { readonly max_gap?: number | undefined }, quirks: ReadonlyMap<number, Quirks>) {
    this.#clock = clock;
    this.#options = options;
    this.#quirks = quirks;
  }

  /** Returns the transport with adapted reads. */
  over(transport: Transport): Transport {
    return {
      concurrency: transport.concurrency,
      freeAt: (unit) => transport.freeAt(unit),
      ready: (unit) => transport.ready?.(unit) ?? true,
      close: () => transport.close(),
      transact: (request, expiresAt) => {
        const send: Send = (one) => transport.transact(one, expiresAt);
        if (request.kind !== 'read') return send(request);
        return request.pieces ? this.#read(send, request, request.pieces) : this.#readLong(send, request);
      },
    };
  }

  async #read(send: Send, request: ReadRequest, pieces: readonly Piece[]): Promise<Buffer> {
    const key = `${request.unit}/${request.table}/${request.first}/${request.count}`;
    const refused = this.#refused.get(key);
    const whole = mayReadWhole(request, pieces, this.#options, this.#quirks.get(request.unit));
    if (!whole || (refused && this.#clock.now() < refused.until)) return await this.#readPieces(send, request, pieces);
    try {
      const data = await this.#readLong(send, request);
      this.#refused.delete(key);
      return data;
    } catch (error) {
      if (!isDivisible(error)) throw error;
      const data = await this.#readPieces(send, request, pieces);
      const waitMs = Math.min(MAX_RETRY_MS, 2 * (refused?.waitMs ?? FIRST_RETRY_MS / 2));
      this.#refused.set(key, { until: this.#clock.now() + waitMs, waitMs });
      return data;
    }
  }

  async #readPieces(send: Send, request: ReadRequest, pieces: readonly Piece[]): Promise<Buffer> {
    const image = Buffer.alloc(2 * request.count);
    const readOne = async (piece: Piece): Promise<boolean> => {
      const data = await this.#readLong(send, { ...request, ...piece });
      const at = 2 * (piece.first - request.first);
      const same = image.subarray(at, at + data.length).equals(data);
      data.copy(image, at);
      return same;
    };
    for (const piece of pieces) await readOne(piece);
    for (let read = 1; read <= MAX_READS; read++) {
      let same = true;
      for (const piece of pieces.slice(0, -1)) same = (await readOne(piece)) && same;
      if (same) return image;
      for (const piece of pieces.slice(-1)) await readOne(piece);
    }
    throw new DcsError('BAD_REPLY', `${describeRequest(request)}: its registers change while they are read`, {
      expected: 'registers that can be read in one request',
    });
  }

  /**
   * Makes a read as long as the device wants it: with the registers behind it, or with those before it where the addresses
   * end or a forbidden one is in the way.
   */
  async #readLong(send: Send, { pieces: _, ...request }: ReadRequest): Promise<Buffer> {
    const quirks = this.#quirks.get(request.unit);
    const { minItems = 1, forbidden } = readLimits(request, 0, quirks);
    const { first, count } = request;
    const missing = minItems - count;
    if (missing <= 0) return await send(request);
    const allowed = (from: number, to: number) =>
      from >= 0 && to <= ADDRESSES && !forbidden.some(([low, high]) => low < to && high >= from);
    const before = !allowed(first + count, first + minItems) && allowed(first - missing, first) ? missing : 0;
    const data = await send({ ...request, first: first - before, count: minItems });
    if (isBitTable(request.table)) return before === 0 ? data : shiftBits(data, before, count);
    const bytes = registerBytes(request);
    return data.subarray(bytes * before, bytes * (before + count));
  }
}

function shiftBits(data: Buffer, from: number, count: number): Buffer {
  return packBits(Array.from({ length: count }, (_, index) => bitAt(data, from + index)));
}
