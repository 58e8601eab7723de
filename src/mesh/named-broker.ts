import type { Clock } from '../clock/clock.ts';
import { Caller, type CallerHooks, type Place } from './caller.ts';
import { readNode } from './node-info.ts';
import type { Kit } from './zmq.ts';

/** How long after a link with a named broker is gone it is called again (ms). */
const AGAIN_MS = 500;

export interface NamedBrokerHost extends Pick<CallerHooks, 'hello' | 'answered'> {
  hasSession(id: string): boolean;
}

/**
 * Calls the broker of another machine, whoever that is: with one allowed key after the other, because a door is asked for
 * by its key. Again whenever there is no session with whoever was found there.
 */
export class NamedBroker {
  readonly #kit: Kit;
  readonly #clock: Clock;
  readonly #places: () => readonly Place[];
  readonly #host: NamedBrokerHost;
  #found = '';
  #caller: Caller | undefined;
  #stopped = false;

  constructor(kit: Kit, clock: Clock, places: () => readonly Place[], host: NamedBrokerHost) {
    this.#kit = kit;
    this.#clock = clock;
    this.#places = places;
    this.#host = host;
    this.#call();
  }

  stop(): void {
    this.#stopped = true;
    if (!this.#caller?.session) this.#caller?.close(false);
  }

  #call(): void {
    if (this.#stopped) return;
    if (this.#host.hasSession(this.#found)) {
      this.#clock.after(AGAIN_MS, () => this.#call());
      return;
    }
    this.#caller = new Caller(this.#kit, this.#clock, this.#places, {
      hello: () => this.#host.hello(),
      answered: (frame, caller) => {
        this.#found = readNode(frame['welcome'])?.id ?? (typeof frame['id'] === 'string' ? frame['id'] : this.#found);
        this.#host.answered(frame, caller);
      },
      closed: () => {
        this.#clock.after(AGAIN_MS, () => this.#call());
      },
    });
  }
}
