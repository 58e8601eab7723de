import { sleep } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import {
  type BusTransport,
  type PolledItem,
  Poller,
  Scheduler,
  type Span,
  type Task,
} from '../../src/driver/kit/index.ts';
import { DcsError } from '../../src/errors/errors.ts';

/** Requests of a protocol that exists in these tests only: `get 3 2` asks for cells 3 and 4, `set 3 7` writes one. */
export interface TextRequest {
  readonly unit: number;
  readonly text: string;
}
export type TextReply = readonly number[];
type TextSpan = Span & { readonly table: 'cells' };

/** Units with cells, of which some do not answer or lack a cell; every request takes 10 ms. */
export class MadeUpBus implements BusTransport<TextRequest, TextReply> {
  readonly concurrency = 1;
  readonly clock = new ManualClock();
  readonly cells = new Map<string, number>();
  readonly missing = new Set<string>();
  readonly silent = new Set<number>();
  /** Requests in the order sent: `1: get 3 2`. */
  readonly sent: string[] = [];
  readonly counters = new Map<string, number>();
  readonly answers: string[] = [];
  readonly poller: Poller<TextSpan, TextReply>;
  readonly scheduler: Scheduler<TextRequest, TextReply, TextSpan>;

  constructor() {
    const count = (name: string, by = 1) => {
      this.counters.set(name, (this.counters.get(name) ?? 0) + by);
    };
    this.poller = new Poller({ limits: () => ({ gap: 2, maxItems: 8, merge: true, forbidden: [] }), count });
    this.scheduler = new Scheduler({
      transport: this,
      poller: this.poller,
      clock: this.clock,
      count,
      readRequest: ({ unit, first, count: cells }) => ({ unit, text: `get ${first} ${cells}` }),
      onAnswer: (unit, wasOffline) => {
        if (wasOffline) this.answers.push(`${unit} is back`);
      },
    });
  }

  freeAt(): number {
    return 0;
  }

  async transact({ unit, text }: TextRequest): Promise<TextReply> {
    this.sent.push(`${unit}: ${text}`);
    const [verb, first = 0, second = 0] = text.split(' ').map((word, at) => (at === 0 ? word : Number(word)));
    await sleep(this.clock, this.silent.has(unit) ? 100 : 10);
    if (this.silent.has(unit)) throw new DcsError('TIMEOUT', `unit ${unit} does not answer`);
    const at = Number(first);
    if (verb === 'set') {
      this.cells.set(`${unit}/${at}`, Number(second));
      return [];
    }
    const keys = Array.from({ length: Number(second) }, (_, index) => `${unit}/${at + index}`);
    if (keys.some((key) => this.missing.has(key))) throw new DcsError('NO_SUCH_CHANNEL', `${text}: no such cell`);
    return keys.map((key) => this.cells.get(key) ?? 0);
  }

  /** Polls these cells and returns what each of them is told. */
  poll(...places: readonly (readonly [unit: number, first: number, periodMs: number])[]): string[][] {
    const items = places.map(([unit, first, periodMs]): PolledItem<TextSpan, TextReply> & { told: string[] } => {
      const told: string[] = [];
      return {
        told,
        span: { unit, table: 'cells', first, count: 1 },
        periodMs,
        get neverRead() {
          return told.length === 0;
        },
        deliver: (reply, offset) => told.push(String(reply[offset])),
        fail: (error) => told.push(error.code),
      };
    });
    this.poller.plan(items, this.clock.now());
    this.scheduler.dispatch();
    return items.map(({ told }) => told);
  }

  /** A task that writes one cell. */
  set(unit: number, cell: number, value: number, key?: string): Task<TextReply, TextRequest, TextReply> {
    const work: Task<TextReply, TextRequest, TextReply>['work'] = (transact) =>
      transact({ unit, text: `set ${cell} ${value}` });
    return { lane: 'write', unit, ttlMs: 1000, work, ...(key !== undefined && { key }) };
  }
}
