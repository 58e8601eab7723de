import type { ServerResponse } from 'node:http';
import type { Clock } from '../../clock/clock.ts';
import { Refusal, type Visitor } from '../auth/gatekeeper.ts';
import { EventStream } from './event-stream.ts';
import type { Hub } from './hub.ts';

const MAX_STREAMS = 100;

/** The event streams that are open. */
export class EventStreams {
  /** Readers that were too slow and let go. */
  dropped = 0;
  readonly #streams = new Map<EventStream, Visitor | undefined>();

  get size(): number {
    return this.#streams.size;
  }

  /** Opens one of the pins that `wants` names. Throws a Refusal (503) when there are too many. */
  open(
    hub: Hub,
    clock: Clock,
    response: ServerResponse,
    wants: (pin: string) => boolean,
    visitor: Visitor | undefined,
  ): void {
    if (this.#streams.size >= MAX_STREAMS) throw new Refusal(503, `there are ${MAX_STREAMS} event streams already`, 10);
    const stream = new EventStream(hub, clock, response, wants, (slow) => {
      if (slow) this.dropped++;
      this.#streams.delete(stream);
    });
    this.#streams.set(stream, visitor);
    stream.begin();
  }

  /** Ends the streams of those whose login has ended. */
  sweep(over: (visitor: Visitor) => boolean): void {
    for (const [stream, visitor] of this.#streams) if (visitor && over(visitor)) stream.end();
  }

  stop(): void {
    for (const stream of this.#streams.keys()) stream.end();
  }
}
